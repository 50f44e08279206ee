"""How long a run will last, from a few training steps and evaluations on the cluster that the study runs on."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from curriculum_search.experiment import Experiment, Training
from curriculum_search.loading import UserError
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.groups import Groups
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, Status
from curriculum_search.runs.progress import telling
from curriculum_search.search.arms import NO_CURRICULUM, baseline
from curriculum_search.search.design import Size
from curriculum_search.search.study import StudyFile
from curriculum_search.trainers import OUTPUT, SHOWN, last_lines
from curriculum_search.training import Report

_STEPS = 20  # between two evaluations
_MOST_AT_ONCE = 8
#: Starting is measured again, in processes that have run something, if it is more than this share of a run.
_SHORT = 0.1


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Where the time of a run goes, in seconds.

    Attributes:
        first_start: from handing out a run to its first step, in a process that has to be started for it.
        start: the same for the runs that follow in that process.
        per_image: of a training step, by image.
        evaluation: an ordinary one, with its checkpoint and report.
        final: the last one, with the final evaluators and the images.
    """

    first_start: float
    start: float
    per_image: float
    evaluation: float
    final: float

    def run_seconds(self, training: Training) -> float:
        """Expected seconds of a whole run."""
        evaluations = (training.num_evaluations - 1) * self.evaluation + self.final
        return self.start + training.total_images * self.per_image + evaluations


def measure(file: StudyFile, size: Size, *, concurrency: int, root: Path, cache_dir: Path, groups: Groups) -> Measured:
    """Train a few steps of ordinary training on the connected cluster, as many runs at once as the study has.

    Nothing of it stays: neither in the study's folder nor in MLflow.

    Args:
        file: the study file.
        size: whose runs are measured.
        concurrency: runs of the study at once.
        root: the folder of all results, which all nodes see; a temporary folder is made there.
        cache_dir: where reference statistics are kept; what is computed for them stays.
        groups: of workers, which the study goes on with.

    Raises:
        UserError: the steps fail.
    """
    experiment = file.experiment(baseline(NO_CURRICULUM, file.base), file.study.seed, small=size == "small")
    with temporary_folder(root) as folder:
        steps = _FewSteps(file, experiment, folder, cache_dir, min(concurrency, _MOST_AT_ONCE))
        with telling(file.study.name, experiment.preparing()):
            run_jobs(steps, resources=experiment.resources, limit=concurrency, scratch=folder / "tune", groups=groups)
    return steps.measured()


@dataclass(kw_only=True)
class _Timed:
    """A run: when it was handed out, and each report with its arrival."""

    began: float
    reports: list[tuple[float, Report]] = field(default_factory=list)

    def before(self, i: int) -> float:
        """Seconds up to report `i`, from the one before or from the beginning."""
        return self.reports[i][0] - (self.reports[i - 1][0] if i else self.began)

    def training(self, i: int) -> float:
        """Seconds of those that were spent in training steps."""
        earlier = self.reports[i - 1][1].metrics["train_seconds"] if i else 0.0
        return self.reports[i][1].metrics["train_seconds"] - earlier


class _FewSteps(JobSource):
    """A source of jobs: runs of three evaluations, and, if starting was slow beside them, shorter ones after them."""

    def __init__(self, file: StudyFile, experiment: Experiment, folder: Path, cache_dir: Path, at_once: int) -> None:
        self.file, self.experiment, self.folder, self.cache_dir = file, experiment, folder, cache_dir
        training = experiment.training
        self.images = min(_STEPS, training.num_steps // training.num_evaluations) * training.batch_size
        self.left = at_once
        self.at_once = at_once
        self.evaluations = 3
        self.timed: dict[int, dict[str, _Timed]] = {3: {}, 1: {}}
        self.running = 0
        self.problem = ""

    def next(self) -> Job | Exhausted:
        if not self.left and not self.running and self.evaluations == 3 and not self.problem:
            measured = self.measured()
            if measured.start > _SHORT * measured.run_seconds(self.experiment.training):
                self.evaluations, self.left = 1, self.at_once
        if not self.left or self.problem:
            return Exhausted.WAIT if self.running else Exhausted.DONE
        self.left, self.running = self.left - 1, self.running + 1
        training = replace(
            self.experiment.training, total_images=self.evaluations * self.images, num_evaluations=self.evaluations
        )
        experiment = replace(self.experiment, training=training, seed=self.experiment.seed + self.left)
        key = experiment.identity()
        (self.folder / key).mkdir()
        self.timed[self.evaluations][key] = _Timed(began=time.monotonic())
        return Job(
            key=key,
            experiment=experiment,
            run_dir=(self.folder / key).resolve(),
            cache_dir=self.cache_dir,
            plugins=self.file.plugins,
            working_dir=Path.cwd(),
            tried_again="after_death",  # An error in the first steps is the user's to mend, now.
        )

    def reported(self, job: Job, report: Report) -> bool:
        timed = self.timed[self.evaluations][job.key]
        if len(timed.reports) < self.evaluations:  # a run that was restarted repeats itself
            timed.reports.append((time.monotonic(), report))
        return False

    def restarted(self, job: Job, reason: str) -> None:
        """Say nothing: these runs have no names, and what one comes to in the end is told."""

    def ended(self, job: Job, outcome: Outcome) -> None:
        self.running -= 1
        if outcome.status is not Status.FINISHED:
            self.problem = self.problem or f"{outcome.status.value}: {reason_of(job, outcome)}"

    def measured(self) -> Measured:
        """What the runs so far say.

        Raises:
            UserError: one of them failed.
        """
        if self.problem:
            raise UserError(f"{self.file.path}: base: the first training steps {self.problem}")
        runs, short = list(self.timed[3].values()), list(self.timed[1].values())
        # The first steps take longer: compilation, and what is allocated once.
        per_image = statistics.median(run.training(i) for run in runs for i in (1, 2)) / self.images
        evaluation = statistics.median(run.before(1) - run.training(1) for run in runs)
        final = statistics.median(run.before(2) - run.training(2) for run in runs)
        train = per_image * self.images
        first_start = max(statistics.median(run.before(0) for run in runs) - train - evaluation, 0.0)
        start = max(statistics.median(run.before(0) for run in short) - train - final, 0.0) if short else first_start
        return Measured(
            first_start=first_start,
            start=min(start, first_start),
            per_image=per_image,
            evaluation=max(evaluation, 0.0),
            final=max(final, 0.0),
        )


def reason_of(job: Job, outcome: Outcome) -> str:
    """Why a run in a temporary folder has ended.  The end of a program's output, which will be gone, is printed."""
    output = job.run_dir / OUTPUT
    for line in last_lines(output)[-SHOWN:]:
        print(f"  | {line}", flush=True)
    return outcome.reason.replace(f" ({output})", "")


@contextmanager
def temporary_folder(root: Path) -> Iterator[Path]:
    """A folder under `root` that is gone afterwards, and `root` too if it was not there.

    Raises:
        UserError: it cannot be made.
    """
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".measure-", dir=root))
    except OSError as error:
        raise UserError(f"{root}: no folder can be made there ({error.strerror})") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # not empty any more
            for made in missing:
                made.rmdir()
