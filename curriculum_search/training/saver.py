"""Writes checkpoints while training goes on: from a copy, in a thread, one at a time."""

import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from curriculum_search.training import checkpoint


class Saver:
    """Writes states to files in the background.

    Whoever hands over a state waits for its copy, which on a GPU is only asked for (it goes to pinned memory, before
    whatever the GPU is given next), and where the write before has not ended, for that.  What goes wrong with a write
    is raised by the next call.

    As a context manager, it finishes the write at its end, unless the user has interrupted the block.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(self, states: Mapping[Path, Mapping[str, Any]]) -> None:
        """Have each state, as it is now, written to its path by `checkpoint.save`, in this order.

        Raises:
            DiskFullError: there was no room for what was handed over before.
        """
        self.wait()
        if not states:
            return
        copies = {path: _copied(state) for path, state in states.items()}
        copied = [_done(device) for device in _gpus(states)]
        self._thread = threading.Thread(target=self._write, args=(copies, copied), name="saver", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether all that was handed over is on the disk."""
        return (self._thread is None or not self._thread.is_alive()) and self._error is None

    def check(self) -> None:
        """Find out whether a write has gone wrong; does not wait.

        Raises:
            DiskFullError: there was no room.
        """
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def wait(self) -> None:
        """Return when all that was handed over is on the disk.

        Raises:
            DiskFullError: there was no room.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.wait()
        elif self._thread is not None and not isinstance(error, KeyboardInterrupt):
            self._thread.join()

    def _write(self, states: Mapping[Path, dict[str, Any]], copied: list[torch.cuda.Event]) -> None:
        try:
            for event in copied:
                event.synchronize()
            for path, state in states.items():
                checkpoint.save(path, state)
        except BaseException as error:  # raised where somebody hears it
            self._error = error


def _copied(value: Any) -> Any:
    """A state that does not change with the one that it is of; its tensors are on the CPU."""
    if isinstance(value, Tensor):
        if value.device.type == "cpu":
            return value.detach().clone()
        return torch.empty_like(value, device="cpu", pin_memory=True).copy_(value.detach(), non_blocking=True)
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    return type(value)(map(_copied, value)) if isinstance(value, list | tuple) else value


def _gpus(value: Any) -> set[torch.device]:
    """The GPUs that a state's tensors are on."""
    if isinstance(value, Tensor):
        return {value.device} if value.is_cuda else set()
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return set()
    return set().union(*map(_gpus, value))


def _done(device: torch.device) -> torch.cuda.Event:
    """Comes when a GPU has done all that it has been given so far."""
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event
