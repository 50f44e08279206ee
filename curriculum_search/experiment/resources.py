"""What a run is given to compute with."""

from dataclasses import dataclass

from curriculum_search.config import Config


@dataclass(frozen=True, kw_only=True)
class Resources(Config):
    """What one run is given.  None of it changes what is trained beyond the rounding of float sums.

    Attributes:
        workers: processes that train one run together, data-parallel.
        cpus_per_worker: processors of each, and the threads it computes with (the thread count changes float sums).
        gpus_per_worker: GPUs of each; a fraction lets several runs share one GPU and needs ``workers: 1``.
    """

    workers: int = 1
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        if self.cpus_per_worker < 1:
            raise ValueError(f"cpus_per_worker must be at least 1, not {self.cpus_per_worker}")
        if self.gpus_per_worker < 0:
            raise ValueError(f"gpus_per_worker must be at least 0, not {self.gpus_per_worker}")
        if self.gpus_per_worker > 1 and self.gpus_per_worker != int(self.gpus_per_worker):
            raise ValueError(
                f"gpus_per_worker must be a fraction up to 1 or a whole number, not {self.gpus_per_worker}"
            )
