"""The Ray cluster that runs are trained on: found or started when the first job is there, and left as it was found."""

import contextlib
import logging
import os
import re
import signal
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import ray
import ray._private.worker as ray_worker

from curriculum_search.experiment import Resources
from curriculum_search.loading import UserError
from curriculum_search.runs.capacity import Capacity, check_capacity
from curriculum_search.runs.groups import Groups
from curriculum_search.runs.job import one_line

_CONNECT_SECONDS = 5.0


class Cluster:
    """A connection to Ray that is made on first use.

    A cluster that is running (RAY_ADDRESS, a submitted job, or ``ray start`` on this machine) is joined; otherwise
    one is started on this machine and stopped at the end.  A connection that this process has already is used, and
    kept.

    Args:
        dashboard: whether a cluster that is started has one.  It takes seconds, and only Ray Train asks it, when it
            cleans up after a group of workers that ended in disorder.

    Attributes:
        groups: of workers, which stay up between the trials and the phases of the command.
    """

    def __init__(self, *, dashboard: bool) -> None:
        self.groups = Groups()
        self._dashboard = dashboard
        self._connected = False
        self._released = threading.Event()

    def capacity(self, resources: Resources) -> Capacity:
        """What the cluster can run at once of runs with `resources`; connects, the first time.

        Raises:
            UserError: not one; or there is no cluster where one should be.
        """
        if not ray.is_initialized():
            # Ray warns of a change to come in the handling of GPUs on CPU-only actors; no trial of ours depends on it.
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            warnings.filterwarnings("ignore", module=r"ray\..*")
            _check_address()
            with _signals_kept():
                self._connect()
        return check_capacity(resources)

    def _connect(self) -> None:
        """Start Ray or join it, in a thread: in the main one it would set a handler of SIGTERM of its own.

        The thread stays, for what Ray starts ends with the thread that has started it.
        """
        logging.getLogger("ray._private.worker").setLevel(logging.ERROR)  # which it says
        started: Future[None] = Future()

        def hold() -> None:
            try:
                ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=self._dashboard)
                _keep_messages()
            except BaseException as error:
                started.set_exception(error)
            else:
                started.set_result(None)
                self._released.wait()

        threading.Thread(target=hold, name="ray", daemon=True).start()
        try:
            started.result()
        except Exception as error:  # Whatever it is: nothing has started that it could be told from.
            hint = "set RAY_TMPDIR to a shorter folder" if "AF_UNIX" in str(error) else "see Ray's documentation"
            raise UserError(f"Ray cannot be started or joined: {one_line(error)}; {hint}") from error
        self._connected = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.groups.close()
        if self._connected:
            ray.shutdown()
            self._released.set()


def ray_log() -> Path:
    """Where a connected driver keeps what Ray tells it, such as the last lines of a raylet that has died: among Ray's
    own logs on the driver's node."""
    node: Any = ray_worker._global_node
    return Path(node.get_logs_dir_path()) / "curriculum-search.log"


def _keep_messages() -> None:
    """Have Ray write what it would print, for which it has no setting, to `ray_log`."""
    path = ray_log()

    def keep(data: Mapping[str, Any], ignore_prefix: bool) -> None:
        with contextlib.suppress(OSError), path.open("a") as file:
            file.writelines(f"{line}\n" for line in data["lines"])

    ray_worker.print_to_stdstream = keep


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Obey SIGINT and SIGTERM only after the block: in the middle of Ray's start they would be lost, or leave half of
    it behind."""
    if threading.current_thread() is not threading.main_thread():  # Nobody else is sent a signal.
        yield
        return
    kept: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        kept.append(number)

    handlers = {number: signal.signal(number, keep) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if kept:
        signal.raise_signal(kept[0])


def _check_address() -> None:
    """Whether somebody answers at the address that Ray is going to take; Ray itself tries for minutes.

    Raises:
        UserError: nobody does, or it is none that a driver can join.
    """
    address, remedy = os.environ.get("RAY_ADDRESS", ""), "unset RAY_ADDRESS"
    if address.startswith(("http://", "https://", "ray://")):
        raise UserError(
            f"RAY_ADDRESS is {address}, which a driver cannot join: submit the command with ray job submit --address "
            f"{address.replace('ray://', 'http://')}, or give the address HOST:6379 of a cluster that this machine is "
            f"a node of, or {remedy}"
        )
    if address in ("", "auto"):
        # As Ray has it: written there by `ray start`.
        file = Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"
        if not file.exists():
            if address:
                raise UserError(f"RAY_ADDRESS is auto, and no cluster was started here ({file}); start it, or {remedy}")
            return
        address, remedy = file.read_text().strip(), f"remove {file}"
    if match := re.search(r"([^/:]+):(\d+)$", address):
        try:
            socket.create_connection((match[1], int(match[2])), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise UserError(
                f"no Ray cluster answers at {address} ({error}); start it, or {remedy} to have one started on this "
                f"machine"
            ) from error
