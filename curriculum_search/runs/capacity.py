"""What a Ray cluster has room for."""

import math
from dataclasses import dataclass

import ray

from curriculum_search.experiment import Resources
from curriculum_search.loading import UserError


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a cluster can run at once of runs of one size.

    Attributes:
        trials: whole runs.
        slots: their workers, those of a run that does not fit as a whole included.
        workers: of each run, the fewest where it may have more.
        nodes, cpus, gpus: that the cluster has.
    """

    trials: int
    slots: int
    workers: int
    nodes: int
    cpus: float
    gpus: float

    @property
    def words(self) -> str:
        """What the cluster has, as in "2 nodes, 16 CPUs, 8 GPUs"."""
        return f"{self.nodes} node{'s' * (self.nodes != 1)}, {self.cpus:g} CPUs, {self.gpus:g} GPUs"


def find_capacity(resources: Resources) -> Capacity:
    """How many runs with `resources` the connected cluster has room for, busy or not; it may be none."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))

    def fits(node: dict[str, float]) -> int:
        by_cpu = math.floor(node.get("CPU", 0.0) / resources.cpus_per_worker + 1e-9)
        if not resources.gpus_per_worker:
            return by_cpu
        return min(by_cpu, _gpu_slots(node.get("GPU", 0.0), resources.gpus_per_worker))

    slots = sum(map(fits, nodes))
    fewest, most = resources.fewest_workers, resources.most_workers
    return Capacity(
        trials=slots // most + (slots % most >= fewest),
        slots=slots,
        workers=fewest,
        nodes=len(nodes),
        cpus=cpus,
        gpus=gpus,
    )


def check_capacity(resources: Resources) -> Capacity:
    """The same, if there is room for one.

    Raises:
        UserError: there is not; Ray would wait for ever without a word.
    """
    capacity = find_capacity(resources)
    if not capacity.trials:
        asked = f"{resources.cpus_per_worker} CPUs"
        if resources.gpus_per_worker:
            asked += f" and {resources.gpus_per_worker:g} GPUs"
        raise UserError(
            f"base.resources: a trial asks for {resources.fewest_workers} workers with {asked} each, and this cluster "
            f"({capacity.words}) has room for {capacity.slots} of them; lower workers, cpus_per_worker or "
            f"gpus_per_worker, or add nodes"
        )
    return capacity


def _gpu_slots(gpus: float, per_worker: float) -> int:
    if per_worker >= 1:
        return math.floor(gpus / per_worker + 1e-9)
    return math.floor(gpus) * math.floor(1 / per_worker + 1e-9)
