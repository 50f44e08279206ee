"""What both phases of a study share, and the first of them: the search."""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curriculum_search.experiment import Experiment
from curriculum_search.search.arms import Arm, describe, title
from curriculum_search.search.jobs import Exhausted, Job, Outcome, Status
from curriculum_search.search.progress import Progress
from curriculum_search.search.runs import RunBook, RunResult
from curriculum_search.search.sampling import Searcher
from curriculum_search.search.study import StudyFile

_ORDER = "curriculum.order.kind"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run and what it is in the study.

    Attributes:
        arm: whose run it is.
        experiment: what is trained, its seed included.
        trial: the searcher's number, of a searched configuration.
    """

    arm: Arm
    experiment: Experiment
    trial: int | None = None


class Phase(ABC):
    """A source of jobs that keeps its runs in the study's book and shows its progress."""

    name: str
    one_seed_each: bool  #: so that the best value of a run means something

    def __init__(self, file: StudyFile, book: RunBook) -> None:
        self.file = file
        self.book = book
        self.progress = Progress(
            self.name,
            total_images=file.base.training.total_images,
            objective=file.study.objective,
            better=(min if file.direction == "minimize" else max) if self.one_seed_each else None,
        )
        self._entries: dict[str, Entry] = {}

    @abstractmethod
    def pending(self) -> bool:
        """Whether anything is left to be run."""

    @abstractmethod
    def next(self) -> Job | Exhausted:
        """See `JobSource`."""

    @abstractmethod
    def settle(self, entry: Entry, result: RunResult) -> None:
        """What the phase makes of a result."""

    def result(self, entry: Entry) -> RunResult | None:
        """How a run ended; None if it has not."""
        return self.book.result(entry.experiment.identity())

    def forget_failure(self, entry: Entry) -> None:
        """Have another go at a run that an error ended, which is not the fault of its config."""
        result = self.result(entry)
        if result is not None and result.status is Status.FAILED:
            self.book.forget(entry.experiment.identity())

    def start(self, entry: Entry) -> Job:
        """The job that trains an entry."""
        arm, experiment = entry.arm, entry.experiment
        tags = {"arm": arm.name, "role": arm.role, "phase": self.name, "curriculum": describe(experiment.curriculum)}
        name = f"{title(arm, experiment)}, seed {experiment.seed}"
        job = self.book.start(experiment, name=name, tags=tags)
        self._entries[job.key] = entry
        self.progress.started(job.key, name)
        return job

    def reported(self, job: Job, report: dict[str, Any]) -> bool:
        """Write the report down."""
        fresh = self.book.reported(job.key, report)
        self.progress.reported(job.key, report["images"])
        return self.judge(self._entries[job.key], report, fresh=fresh)

    def judge(self, entry: Entry, report: dict[str, Any], *, fresh: bool) -> bool:
        """Whether a report ends the run early; `fresh` tells whether it is heard for the first time."""
        return False

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Write the result down."""
        result = self.book.ended(job.key, outcome)
        self.progress.ended(job.key, result.status, result.metrics.get(self.file.study.objective), result.reason)
        self.settle(self._entries[job.key], result)

    def tick(self) -> None:
        """Show where the study is."""
        self.progress.show()


class SearchPhase(Phase):
    """Trains the baseline arms, then what the searcher proposes, until the budget of trials or hours is spent."""

    name = "search"
    one_seed_each = True

    def __init__(self, file: StudyFile, book: RunBook, searcher: Searcher) -> None:
        super().__init__(file, book)
        self.searcher = searcher
        self._sign = 1 if file.direction == "minimize" else -1
        self._stopper = file.study.stopping.build(file.base.training.total_images)
        self.baselines = [Entry(arm=arm, experiment=file.experiment(arm, file.study.seed)) for arm in file.baselines()]
        self._tries = Counter(params.get(_ORDER) for _, params in searcher.handed_out())
        for entry in self.baselines:
            self.forget_failure(entry)
        self._queue = [self._trial(number, params) for number, params in searcher.running()]
        self._queue += [entry for entry in self.baselines if self.result(entry) is None]
        for entry in self.entries():  # What the stopping rule knew before an interruption.
            curve = book.curve(entry.experiment.identity())
            for images, metrics in zip(curve.images, curve.metrics, strict=True):
                self._hopeless(entry, images, metrics[file.study.objective], metrics)
        self._deadline = time.monotonic() + 3600 * file.study.max_hours if file.study.max_hours else None
        self.progress.total = len(self._queue) + self._trials_left()

    def pending(self) -> bool:
        """Whether a trial was interrupted, a baseline has not ended, or trials are left in the budget."""
        return bool(self._queue or self._trials_left())

    def next(self) -> Job | Exhausted:
        """Interrupted trials first, then the baselines, then new trials."""
        while (entry := self._next_entry()) is not None:
            result = self.result(entry)
            if result is None:
                return self.start(entry)
            self.settle(entry, result)  # The same run as a baseline, or as one that ended just before an interruption.
        return Exhausted.DONE

    def judge(self, entry: Entry, report: dict[str, Any], *, fresh: bool) -> bool:
        """Tell the searcher a trial's value, and ask the stopping rule."""
        value = report["metrics"][self.file.study.objective]
        if fresh and entry.trial is not None:
            self.searcher.report(entry.trial, report["images"], value)
        # Baselines are never stopped, but trials are judged beside them.
        return self._hopeless(entry, report["images"], value, report["metrics"]) and entry.trial is not None

    def settle(self, entry: Entry, result: RunResult) -> None:
        """Tell the searcher how a trial ended."""
        if entry.trial is None:
            return
        objective = self.file.study.objective
        if result.status is Status.FINISHED:
            self.searcher.tell_complete(entry.trial, result.metrics[objective])
        elif result.status is Status.STOPPED:
            curve = self.book.curve(entry.experiment.identity())
            self.searcher.tell_pruned(entry.trial, dict(curve.points(objective)))
        else:
            self.searcher.tell_fail(entry.trial, result.reason)

    def entries(self) -> list[Entry]:
        """Every baseline and trial that has been handed out."""
        return self.baselines + [self._trial(number, params) for number, params in self.searcher.handed_out()]

    def ended_runs(self) -> list[tuple[Entry, RunResult]]:
        """Every baseline and trial that has ended, with its result."""
        return [(entry, result) for entry in self.entries() if (result := self.result(entry)) is not None]

    def finished(self) -> list[tuple[Entry, RunResult]]:
        """Every baseline and trial that saw all its images, with its result; the best first."""
        good = [(entry, result) for entry, result in self.ended_runs() if result.status is Status.FINISHED]
        return sorted(good, key=lambda pair: self._sign * pair[1].metrics[self.file.study.objective])

    def _hopeless(self, entry: Entry, images: int, value: float, metrics: Mapping[str, float]) -> bool:
        key = entry.experiment.identity()
        return self._stopper.decide(key, images, self._sign * value, metrics["unlocked_share"]) == "stop"

    def _next_entry(self) -> Entry | None:
        if self._queue:
            return self._queue.pop(0)
        if not self._trials_left():
            return None
        asked = self.searcher.ask(self._owed())
        if asked is None:
            return None
        self._tries[asked[1].get(_ORDER)] += 1
        return self._trial(*asked)

    def _trial(self, number: int, params: Mapping[str, Any]) -> Entry:
        arm = Arm(name=f"trial {number}", role="searched", values=params)
        return Entry(arm=arm, experiment=self.file.experiment(arm, self.file.study.seed), trial=number)

    def _trials_left(self) -> int:
        if self._deadline is not None and time.monotonic() > self._deadline:
            return 0
        return max(self.file.study.trials - self._tries.total(), 0)

    def _owed(self) -> dict[str, Any]:
        """What the next trial has to be so that ordinary training gets its equal share of tries."""
        orders = self.file.space.parameters.get(_ORDER)
        if not self.file.study.equal_tries or orders is None or not orders.contains("none"):
            return {}
        most = max((tries for order, tries in self._tries.items() if order != "none"), default=0)
        return {_ORDER: "none"} if self._tries["none"] < most else {}
