"""A run as a study knows it: by its folder, and while it is at work."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from curriculum_search.experiment import Experiment
from curriculum_search.runs.folder import RunFolder, run_folders
from curriculum_search.runs.job import Status


@dataclass(kw_only=True)
class RunRecord:
    """A run that has a folder.

    Attributes:
        key: its identity.
        seed: of the run; None where a killed command has left its config half written.
        gpus: that it holds while it is at work.
        adopted: whether another study has trained it, so that it has cost this one nothing.
        images: that it has reported.
        status: how it ended; None if it has not.
        seconds: that it took, if it has ended.
    """

    key: str
    seed: int | None
    gpus: float
    adopted: bool
    images: int
    status: Status | None
    seconds: float

    @property
    def settled(self) -> bool:
        """Whether it has ended for good: a run that an error ended is tried again."""
        return self.status is not None and not self.status.is_failure


@dataclass(kw_only=True)
class LiveRun:
    """A run that has been handed out and has not ended.

    Attributes:
        record: what is written down of it.
        name: in words.
        total_images: that it is to see.
        number: its place among the runs that this command has handed out since nothing was last at work.
        began: when it was handed out, by the store's clock, in seconds.
        images_before: images that it had seen then.
        first_report: when it reported first since then, and images seen; None before that.
        status_images: images at its last status.
        heard: when it last said something, by the store's clock; or began.
        longest: its longest silence so far, in seconds.
        called_silent: whether its present silence has been remarked on.
    """

    record: RunRecord
    name: str
    total_images: int
    number: int
    began: float
    images_before: int
    first_report: tuple[float, int] | None = None
    status_images: int = 0
    heard: float
    longest: float = 0.0
    called_silent: bool = False

    @property
    def images(self) -> int:
        """Images at its last evaluation."""
        return self.record.images

    def hear(self, now: float) -> None:
        """Take that it has said something."""
        if self.first_report is not None:  # what comes before is starting up
            self.longest = max(self.longest, now - self.heard)
        self.heard, self.called_silent = now, False

    @property
    def share(self) -> float:
        """Share of its images that it is known to have seen."""
        return max(self.images, self.status_images) / self.total_images


def recorded_runs(root: Path) -> Iterable[RunRecord]:
    """The runs of the study in `root` as their folders have them."""
    for folder in run_folders(root):
        config = folder.read_experiment()
        resources = config.get("resources", {"workers": 1, "gpus_per_worker": 0.0})
        workers = resources["workers"]
        most = workers["max"] if isinstance(workers, dict) else workers
        yield read_record(folder, config.get("seed"), most * resources["gpus_per_worker"])


def read_record(folder: RunFolder, seed: int | None, gpus: float) -> RunRecord:
    """What the folder of a run says of it; its seed and GPUs, which its config says, are given."""
    result = folder.read_result()
    return RunRecord(
        key=folder.path.name,
        seed=seed,
        gpus=gpus,
        adopted=folder.adopted,
        images=result.images if result else folder.read_curve().images_seen,
        status=result.status if result else None,
        seconds=result.seconds if result else 0.0,
    )


def gpus(experiment: Experiment) -> float:
    """GPUs that a run of the experiment holds, where there is room for all of its workers."""
    return experiment.resources.most_gpus
