"""What the phases of a study share: they hand out runs, keep to the budget, and show how it goes."""

from abc import abstractmethod
from dataclasses import dataclass, replace

from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, stamped
from curriculum_search.runs.progress import Progress
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.store import RunStore
from curriculum_search.search.arms import Arm, Run, title
from curriculum_search.search.design import Size
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.study import StudyFile
from curriculum_search.training import Report, StatusReport

#: A phase whose first runs, so many or as many as run at once, have all failed is given up.
_MOST_FAILURES = 3


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A baseline or a trial whose runs have seen all their images.

    Attributes:
        run: on the first seed.
        results: of each seed.
        values: of each objective, the deciding one first, over all seeds.
    """

    run: Run
    results: tuple[RunResult, ...]
    values: tuple[float, ...]

    @property
    def arm(self) -> Arm:
        """What was trained."""
        return self.run.arm


class Phase(JobSource):
    """A source of jobs.  Made, it only knows what there is; `resume` makes it ready to hand out what is left.

    Args:
        file: the study file.
        store: the study's runs.
        ledger: what the study has cost.
        show_best: whether its runs can be compared with each other as they end.
    """

    name: str
    size: Size = "full"

    def __init__(self, file: StudyFile, store: RunStore, ledger: Ledger, *, show_best: bool = False) -> None:
        self.file = file
        self.store = store
        self.ledger = ledger
        self.progress = Progress(
            self.name,
            store.live,
            objective=file.study.objective,
            direction=file.direction if show_best else None,
            preparing=(file.small if self.size == "small" else file.base).preparing(),
        )
        self._handed_out: dict[str, Run] = {}
        self._followers: dict[str, list[Run]] = {}

    @abstractmethod
    def resume(self) -> None:
        """Take up what earlier commands have left: find what is to be run, and have another go at what failed."""

    @abstractmethod
    def pending(self) -> bool:
        """Whether anything is left to be run."""

    @abstractmethod
    def next(self) -> Job | Exhausted:
        """See `JobSource`."""

    @abstractmethod
    def settle(self, run: Run, result: RunResult) -> None:
        """What the phase makes of a result."""

    def result(self, run: Run) -> RunResult | None:
        """How a run ended; None if it has not."""
        return self.store.result(run.key)

    def is_under_way(self, run: Run) -> bool:
        """Whether its training has been handed out and has not ended, be it as another arm's."""
        return run.key in self.store.live

    def follow(self, run: Run) -> None:
        """Have a run settled by the one that is under way: two arms can be the same training."""
        self._followers.setdefault(run.key, []).append(run)

    def start(self, run: Run) -> Job:
        """The job that trains a run."""
        if not run.experiment.is_native and run.experiment.identity() != run.key:
            raise UserError(
                f"{self.file.path}: base.trainer: {run.experiment.summary()} has changed while the study was at work; "
                "change it back, and the same command goes on, or give the study another name"
            )
        arm = run.arm
        tags = {"arm": arm.name, "role": arm.role, "phase": self.name, "curriculum": run.experiment.describe()}
        name = f"{title(arm, run.experiment)}, seed {run.experiment.seed}"
        self._handed_out[run.key] = run
        return self.store.start(run.key, self._as_handed_out(run), name=name, tags=tags)

    def shows_samples(self, run: Run) -> bool:
        """Whether a run has its samples saved after each evaluation where its config leaves that open."""
        return False

    def _as_handed_out(self, run: Run) -> Experiment:
        cadence = run.experiment.cadence
        if cadence.sample_grids is not None:
            return run.experiment
        cadence = replace(cadence, sample_grids="evaluations" if self.shows_samples(run) else "end")
        return replace(run.experiment, cadence=cadence)

    def reported(self, job: Job, report: Report) -> bool:
        """Write the report down."""
        fresh = self.store.reported(job.key, report)
        return self.judge(self._handed_out[job.key], report, fresh=fresh)

    def progressed(self, job: Job, status: StatusReport) -> None:
        """Write the status down."""
        self.store.progressed(job.key, status)

    def went_on(self, job: Job) -> None:
        """Take that it is not silent."""
        self.store.went_on(job.key)

    def restarted(self, job: Job, reason: str) -> None:
        """Say it, and count it in MLflow."""
        words = self.store.restarted(job.key, reason)
        self.noticed(f"{self.store.live[job.key].name} {words}")

    def remarked(self, job: Job, words: str) -> None:
        """Write it down, and say it."""
        self.store.note(job.key, words)
        self.noticed(f"{self.store.live[job.key].name}: {words}")

    def befell(self, words: str) -> None:
        """Write it down for all runs under way, and say it."""
        self.store.befell(words)
        self.noticed(words)

    def noticed(self, line: str) -> None:
        """Say it."""
        self.progress.say(stamped(line))

    def judge(self, run: Run, report: Report, *, fresh: bool) -> bool:
        """Whether a report ends the run early; `fresh` tells whether it is heard for the first time."""
        return False

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Write the result down.

        Raises:
            UserError: whatever is run fails.
        """
        live = self.store.live[job.key]
        result = self.store.ended(job.key, outcome)
        self.ledger.ended(live, self.size, result.status)
        self.progress.ended(live.name, result)
        for run in (self._handed_out[job.key], *self._followers.pop(job.key, ())):
            self.settle(run, result)
        failures = self.progress.failures
        if not self.has_worked and failures >= max(_MOST_FAILURES, self.progress.concurrency):
            raise UserError(
                f"{self.file.path}: the first {failures} runs of the {self.name} all failed, the last of them with "
                f"{result.reason}; mend that, and the same command tries them again"
            )

    @property
    def has_worked(self) -> bool:
        """Whether a run of this command has come to an end that is not a failure."""
        return sum(self.progress.counts.values()) > self.progress.failures

    def tick(self, capacity: Capacity) -> None:
        """Show where the study is, and write down what it has cost."""
        most = self.file.study.max_concurrent_trials
        self.progress.capacity = capacity
        self.progress.concurrency = max(min(capacity.trials, most or capacity.trials), 1)
        self.store.write_befallen()
        for line in self.store.silent():
            self.noticed(line)
        self.ledger.tick()
        self.count()
        self.progress.show()

    def count(self) -> None:
        """Bring the number of runs that are expected up to date."""
        self.progress.total = max(self.progress.total, len(self._handed_out))
