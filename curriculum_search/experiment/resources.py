"""What a run is given to compute with."""

from dataclasses import dataclass
from typing import Literal

from curriculum_search.config import Config, later


@dataclass(frozen=True, kw_only=True)
class WorkerRange(Config):
    """As many workers as there is room for.

    Attributes:
        min: fewest that a run is trained by; with room for fewer it waits.
        max: most.
    """

    min: int
    max: int

    def __post_init__(self) -> None:
        if not 1 <= self.min < self.max:
            raise ValueError(f"min must be at least 1 and less than max, not {self.min} (max: {self.max})")


@dataclass(frozen=True, kw_only=True)
class Resources(Config):
    """What one run is given.  Nothing of it changes what is trained beyond the rounding of float sums.

    Attributes:
        workers: processes that train one run together, data-parallel; with ``{min: 2, max: 8}`` as many as there is
            room for, which may change while it is trained.
        cpus_per_worker: processors of each, and the threads it computes with (the thread count changes float sums).
        gpus_per_worker: GPUs of each; a fraction lets several runs share one GPU and needs ``workers: 1``.
        sharding: what each worker holds of the weights, their average, the gradients and the optimiser's state: all of
            it ("none", DistributedDataParallel) or its part ("full", PyTorch's fully_shard).  The latter needs several
            workers.
        activation_checkpointing: keep of each block of the network its input alone, and compute what is inside again
            on the way back: less memory, about a third more time.
        gpu_data_share: of the memory of a worker's GPU, or of its part of one.  Training data that take no more than
            that, and that lie in memory, are mapped, or have all been decoded when training begins, are kept on the
            GPU.
    """

    workers: int | WorkerRange = 1
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0
    sharding: Literal["none", "full"] = later("none")
    activation_checkpointing: bool = later(False)
    gpu_data_share: float = later(0.05)

    def __post_init__(self) -> None:
        if self.fewest_workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        if self.cpus_per_worker < 1:
            raise ValueError(f"cpus_per_worker must be at least 1, not {self.cpus_per_worker}")
        if self.gpus_per_worker < 0:
            raise ValueError(f"gpus_per_worker must be at least 0, not {self.gpus_per_worker}")
        if self.gpus_per_worker > 1 and self.gpus_per_worker != int(self.gpus_per_worker):
            raise ValueError(
                f"gpus_per_worker must be a fraction up to 1 or a whole number, not {self.gpus_per_worker}"
            )
        if not 0 <= self.gpu_data_share <= 1:
            raise ValueError(f"gpu_data_share must be in [0, 1], not {self.gpu_data_share}")
        if self.sharding != "none" and self.fewest_workers == 1:
            raise ValueError(f"sharding must be none with one worker, not {self.sharding}: it needs workers to share")

    @property
    def fewest_workers(self) -> int:
        """Of a run."""
        return self.workers if isinstance(self.workers, int) else self.workers.min

    @property
    def most_workers(self) -> int:
        """Of a run."""
        return self.workers if isinstance(self.workers, int) else self.workers.max

    @property
    def in_group(self) -> bool:
        """Whether a run's workers may be several, so that they are started as a group."""
        return self.most_workers > 1

    @property
    def most_gpus(self) -> float:
        """GPUs that a run holds, where there is room for all of its workers."""
        return self.most_workers * self.gpus_per_worker
