"""What asks a worker to save its run and leave: its driver, a signal, or the notice that its node goes away, or that
there is room for more workers.

Ray Train tells its workers of a node that is drained, and of nothing else; a trial of one worker is told nothing.  So a
thread of each worker asks the cluster itself: about its driver four times a second, about its node every other second.
"""

import ctypes
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import ray
import ray._private.state
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_put

from curriculum_search.runs.watch import ProcessId

_NAMESPACE = "curriculum-search"  # of what the cluster remembers for us
_LOOK_SECONDS = 0.25
_LOOKS_AT_NODE = 8  # one look in so many
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
_LEAVE_SECONDS = 5.0  # after which a process that was sent SIGTERM ends, if Ray has not ended it


class Stopped(Exception):  # noqa: N818  (what happened, as in KeyboardInterrupt)
    """A worker has been asked to leave, and its run is saved.

    Attributes:
        reason: who asked; nothing where it was another worker of the run.
        images: where it is saved; None: the worker had not begun.
    """

    def __init__(self, reason: str, images: int | None) -> None:
        super().__init__(reason, images)
        self.reason = reason
        self.images = images

    def __str__(self) -> str:
        reason = self.reason or "it was asked to stop"
        return reason if self.images is None else f"{reason}; it is saved at {self.images:,} images"


def ask_to_stop(driver: ProcessId, why: str) -> None:
    """Ask all workers of a driver to save their runs and leave; none is waited for."""
    _internal_kv_put(_key(driver), why.encode(), namespace=_NAMESPACE)


def forget_to_ask(driver: ProcessId) -> None:
    """Take `ask_to_stop` back."""
    _internal_kv_del(_key(driver), namespace=_NAMESPACE)


def ask_group_to_leave(group: str, why: str) -> None:
    """Ask the workers of a group to save their run and leave."""
    _internal_kv_put(_group_key(group), why.encode(), namespace=_NAMESPACE)


def forget_group(group: str) -> None:
    """Take `ask_group_to_leave` back, for a group that has ended."""
    _internal_kv_del(_group_key(group), namespace=_NAMESPACE)


def _group_key(group: str) -> str:
    return f"leave/{group}"


def _key(driver: ProcessId) -> str:
    return f"stop/{driver.machine}/{driver.pid}/{driver.started}"


class Notices:
    """Waits for a notice to the worker in this process; see `listening`."""

    def __init__(self, driver: ProcessId | None, group: str, heard: Callable[[], None]) -> None:
        self.reason = ""  #: why the worker is to leave, once it is
        self.ends_process = False  #: whether its process is to end then
        self._keys = [_key(driver)] if driver else []
        self._keys += [_group_key(group)] if group else []
        self._heard = heard
        self._ended = threading.Event()
        self._node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._look, name="notices", daemon=True).start()

    def hear(self, reason: str) -> None:
        """Take a notice; a second one says nothing new."""
        if not self.reason:
            self.reason = reason
            self._heard()

    def end(self) -> None:
        """Listen no more."""
        self._ended.set()

    def _look(self) -> None:
        for look in itertools.count():
            if self._ended.wait(_LOOK_SECONDS):
                return
            with suppress(Exception):  # Where the head does not answer, it is asked again.
                for key in self._keys:
                    if (why := _internal_kv_get(key, namespace=_NAMESPACE)) is not None:
                        self.hear(why.decode())
                if look % _LOOKS_AT_NODE == 0 and self._node in ray._private.state.state.get_draining_nodes():
                    self.hear("its node is being drained")


class _Signals:
    """The handler of signals of a worker's process: it hands the first one to the run at work."""

    def __init__(self) -> None:
        self.notices: Notices | None = None
        self._is_set = False
        self._before: dict[int, Any] = {}
        self._call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(self._set)

    def set(self) -> None:
        """Have the main thread, which alone can, set the handler the next time that it runs anything of Python's: Ray
        runs a trial, and a worker of Ray Train, in another one."""
        if not self._is_set:
            self._is_set = True
            ctypes.pythonapi.Py_AddPendingCall(self._call, None)

    def _set(self, argument: Any) -> int:
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        notices, before = self.notices, self._before[number]
        if notices is not None and not notices.reason:
            notices.ends_process = number == signal.SIGTERM
            notices.hear(f"its process was sent {signal.Signals(number).name}")
        elif callable(before):
            before(number, frame)


_signals = _Signals()


@contextmanager
def listening(driver: ProcessId | None, heard: Callable[[], None], *, group: str = "") -> Iterator[Notices]:
    """Listen, within the block, for what asks the worker in this process to save its run and leave.

    A signal that comes after the first one does what it did before, as does one outside the block.  A process that was
    sent SIGTERM ends some seconds after the block.

    Args:
        driver: who has handed the run out.
        heard: called at the first notice, in any thread.
        group: that the worker belongs to, if it does.
    """
    notices = Notices(driver, group, heard)
    notices.start()
    _signals.set()
    _signals.notices = notices
    try:
        yield notices
    finally:
        _signals.notices = None
        notices.end()
        if notices.ends_process:
            leave = threading.Timer(_LEAVE_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
            leave.daemon = True
            leave.start()
