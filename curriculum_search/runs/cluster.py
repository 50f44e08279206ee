"""The Ray cluster that runs are trained on: found or started when the first job is there, and left as it was found."""

import logging
import math
import os
import re
import signal
import socket
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import ray

from curriculum_search.experiment import Resources
from curriculum_search.loading import UserError

_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What the cluster can run at once of trials of one size."""

    trials: int
    nodes: int
    cpus: float
    gpus: float


class Cluster:
    """A connection to Ray that is made on first use.

    A cluster that is running (RAY_ADDRESS, a submitted job, or ``ray start`` on this machine) is joined; otherwise
    one is started on this machine and stopped at the end.  A connection that this process has already is used, and
    kept.

    Args:
        dashboard: whether a cluster that is started has one.  It takes seconds, and only Ray Train asks it, when it
            cleans up after a trial of several workers that was stopped.
    """

    def __init__(self, *, dashboard: bool) -> None:
        self._dashboard = dashboard
        self._connected = False

    def capacity(self, resources: Resources) -> Capacity:
        """What the cluster can run at once of runs with `resources`; connects, the first time.

        Raises:
            UserError: not one; or there is no cluster where one should be.
        """
        if not ray.is_initialized():
            # Ray warns of a change to come in the handling of GPUs on CPU-only actors; no trial of ours depends on it.
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            warnings.filterwarnings("ignore", module=r"ray\..*")
            on_terminate = signal.getsignal(signal.SIGTERM)
            _check_address()
            ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=self._dashboard)
            signal.signal(signal.SIGTERM, on_terminate)  # Ray sets one that exits as if all were well.
            self._connected = True
        return check_capacity(resources)

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


def check_capacity(resources: Resources) -> Capacity:
    """How many such trials the connected cluster runs at once.

    Raises:
        UserError: not one; Ray would wait for ever without a word.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))

    def fits(node: dict[str, float]) -> int:
        by_cpu = math.floor(node.get("CPU", 0.0) / resources.cpus_per_worker + 1e-9)
        if not resources.gpus_per_worker:
            return by_cpu
        return min(by_cpu, _gpu_slots(node.get("GPU", 0.0), resources.gpus_per_worker))

    slots = sum(map(fits, nodes))
    if slots < resources.workers:
        asked = f"{resources.cpus_per_worker} CPUs"
        if resources.gpus_per_worker:
            asked += f" and {resources.gpus_per_worker:g} GPUs"
        raise UserError(
            f"base.resources: a trial asks for {resources.workers} workers with {asked} each, and this cluster "
            f"({len(nodes)} nodes, {cpus:g} CPUs, {gpus:g} GPUs) has room for {slots} of them; "
            f"lower workers, cpus_per_worker or gpus_per_worker, or add nodes"
        )
    return Capacity(trials=slots // resources.workers, nodes=len(nodes), cpus=cpus, gpus=gpus)


def _gpu_slots(gpus: float, per_worker: float) -> int:
    if per_worker >= 1:
        return math.floor(gpus / per_worker + 1e-9)
    return math.floor(gpus) * math.floor(1 / per_worker + 1e-9)
