"""The Ray cluster that a study runs on: found or started when the first job is there, and left as it was found."""

import logging
import os
import re
import signal
import socket
import warnings
from pathlib import Path
from types import TracebackType
from typing import Self

import ray

from curriculum_search.experiment import Resources
from curriculum_search.loading import UserError
from curriculum_search.search.execution.executor import Capacity, check_capacity

_CONNECT_SECONDS = 5.0


class Cluster:
    """A connection to Ray that is made on first use.

    A cluster that is running (RAY_ADDRESS, a submitted job, or ``ray start`` on this machine) is joined; otherwise
    one is started on this machine and stopped at the end.  A connection that this process has already is used, and
    kept.

    Args:
        resources: of each run.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._connected = False

    def connect(self) -> Capacity:
        """Connect, the first time, and say what there is room for.

        Raises:
            UserError: there is no room for one, or no cluster where one should be.
        """
        if not ray.is_initialized():
            # Ray warns of a change to come in the handling of GPUs on CPU-only actors; no trial of ours depends on it.
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            warnings.filterwarnings("ignore", module=r"ray\..*")
            on_terminate = signal.getsignal(signal.SIGTERM)
            _check_address()
            # The dashboard takes seconds to start; only Ray Train asks it, when it cleans up after a stopped trial.
            ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=self._resources.workers > 1)
            signal.signal(signal.SIGTERM, on_terminate)  # Ray sets one that exits as if all were well.
            self._connected = True
        return check_capacity(self._resources)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connected:
            ray.shutdown()


def _check_address() -> None:
    """Whether somebody answers at the address that Ray is going to take; Ray itself tries for minutes.

    Raises:
        UserError: nobody does.
    """
    address, remedy = os.environ.get("RAY_ADDRESS", ""), "unset RAY_ADDRESS"
    if not address:
        file = Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / "ray_current_cluster"  # written by `ray start`
        if not file.exists():
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
