"""What the phases of a study share, and the first of them: the search."""

import statistics
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.search.arms import NO_CURRICULUM, Arm, describe, title
from curriculum_search.search.book.budget import Budget
from curriculum_search.search.book.progress import Progress
from curriculum_search.search.book.runs import RunBook, RunResult
from curriculum_search.search.book.scale import Size
from curriculum_search.search.checks import ORDER
from curriculum_search.search.execution.jobs import Exhausted, Job, Outcome, Status
from curriculum_search.search.objectives import IMAGES_TO_BASELINE, images_to_baseline, pareto
from curriculum_search.search.sampling.searcher import Searcher
from curriculum_search.search.study import StudyFile

#: A phase whose first runs, so many or as many as run at once, have all failed is given up.
_MOST_FAILURES = 3


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


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A baseline or a trial whose runs have seen all their images.

    Attributes:
        entry: the run on the first seed.
        results: of each seed.
        values: of each objective, the deciding one first, over all seeds.
    """

    entry: Entry
    results: tuple[RunResult, ...]
    values: tuple[float, ...]

    @property
    def arm(self) -> Arm:
        """What was trained."""
        return self.entry.arm


class Phase(ABC):
    """A source of jobs that keeps its runs in the study's book and to its budget, and shows its progress."""

    name: str
    size: Size = "full"

    def __init__(self, file: StudyFile, book: RunBook, *, total_images: int, show_best: bool) -> None:
        self.file = file
        self.book = book
        self.budget = Budget(file, book.root)
        self.progress = Progress(
            self.name,
            total_images=total_images,
            objective=file.study.objective,
            better=(min if file.direction == "minimize" else max) if show_best else None,
        )
        self._entries: dict[str, Entry] = {}
        self._followers: dict[str, list[Entry]] = {}

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

    def is_under_way(self, entry: Entry) -> bool:
        """Whether its training has been handed out and has not ended, be it as another entry."""
        return entry.experiment.identity() in self._entries and self.result(entry) is None

    def follow(self, entry: Entry) -> None:
        """Have an entry settled by the run that is under way: two arms can be the same training."""
        self._followers.setdefault(entry.experiment.identity(), []).append(entry)

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
        self.budget.began(job)
        self.progress.started(job.key, name)
        return job

    def reported(self, job: Job, report: dict[str, Any]) -> bool:
        """Write the report down."""
        fresh = self.book.reported(job.key, report)
        self.budget.reported(job, report["images"])
        self.progress.reported(job.key, report["images"])
        return self.judge(self._entries[job.key], report, fresh=fresh)

    def judge(self, entry: Entry, report: dict[str, Any], *, fresh: bool) -> bool:
        """Whether a report ends the run early; `fresh` tells whether it is heard for the first time."""
        return False

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Write the result down.

        Raises:
            UserError: whatever is run fails.
        """
        result = self.book.ended(job.key, outcome)
        self.budget.ended(job, result.status)
        self.progress.ended(job.key, result.status, result.metrics.get(self.file.study.objective), result.reason)
        for entry in (self._entries[job.key], *self._followers.pop(job.key, ())):
            self.settle(entry, result)
        failures = self.progress.counts[Status.FAILED]
        if not self.has_worked and failures >= max(_MOST_FAILURES, self.progress.concurrency):
            raise UserError(
                f"{self.file.path}: the first {failures} runs of the {self.name} all failed, the last of them with "
                f"{result.reason}; mend that, and the same command tries them again"
            )

    @property
    def has_worked(self) -> bool:
        """Whether a run of this command has come to an end that is not a failure."""
        return any(count for status, count in self.progress.counts.items() if status is not Status.FAILED)

    def tick(self) -> None:
        """Show where the study is, and write down what it has cost."""
        self.budget.tick()
        self.count()
        self.progress.show()

    def count(self) -> None:
        """Bring the number of runs that are expected up to date."""
        self.progress.total = max(self.progress.total, len(self._entries))


class SearchPhase(Phase):
    """Trains the baseline arms, then what the searcher proposes, until the budget is spent.

    A trial is one run, or one for each seed of the search; its runs are handed out together, and those that have not
    begun are left out when one of them is stopped or fails.
    """

    name = "search"
    size: Size = "small"

    def __init__(self, file: StudyFile, book: RunBook, searcher: Searcher) -> None:
        total_images = file.small.training.total_images
        super().__init__(file, book, total_images=total_images, show_best=file.study.seeds_per_trial == 1)
        self.searcher = searcher
        self._sign = 1 if file.direction == "minimize" else -1
        self._stopper = file.study.rule.build(total_images)
        self._tries = Counter(params.get(ORDER) for _, params in searcher.handed_out())
        self.baselines = [entry for arm in file.baselines(small=True) for entry in self.runs(arm)]
        self._waiting: list[tuple[Arm, int]] = []  # for the value of ordinary training
        self._doubtful: list[tuple[Arm, int]] = []  # failed, as all before them
        self._queue = [entry for number, params in searcher.running() for entry in self._trial(number, params)]
        for entry in (*self.baselines, *self._queue):
            self.forget_failure(entry)
        self._queue += [entry for entry in self.baselines if self.result(entry) is None]
        entries, complete = self.entries(), searcher.completed()
        lost = [entry for entry in entries if entry.trial in complete and self.result(entry) is None]
        self._lost = {entry.trial for entry in lost}  # A run's folder was deleted; the journal knows how it had ended.
        self._queue += lost
        for entry in entries:  # What the stopping rule knew before an interruption.
            curve = book.curve(entry.experiment.identity())
            for images, metrics in zip(curve.images, curve.metrics, strict=True):
                self._hopeless(entry, images, metrics[file.study.objective], metrics)
        self.count()

    def pending(self) -> bool:
        """Whether a trial was interrupted, a baseline has not ended, or trials are left in the budget."""
        return bool(self._queue or self._trials_left())

    def next(self) -> Job | Exhausted:
        """Interrupted trials first, then the baselines, then new trials."""
        while (entry := self._next_entry()) is not None:
            result = self.result(entry)
            if result is not None:  # The same run as a baseline, or as one that ended just before an interruption.
                self.settle(entry, result)
            elif self.is_under_way(entry):
                self.follow(entry)
            else:
                return self.start(entry)
        return Exhausted.WAIT if self._tries_left() and self.budget.may_grow else Exhausted.DONE

    def judge(self, entry: Entry, report: dict[str, Any], *, fresh: bool) -> bool:
        """Tell the searcher a trial's value, and ask the stopping rule."""
        value = report["metrics"][self.file.study.objective]
        # Baselines are never stopped, but trials are judged beside them.
        hopeless = self._hopeless(entry, report["images"], value, report["metrics"])
        if entry.trial is None or entry.trial in self._lost:
            return False
        if entry.trial not in dict(self.searcher.running()):
            return True  # Another seed has ended the trial.
        if fresh and entry.experiment.seed == self.file.study.seed:
            self.searcher.report(entry.trial, report["images"], value)
        return hopeless

    def settle(self, entry: Entry, result: RunResult) -> None:
        """Tell the searcher how a trial ended, once all its runs have, or one has spoilt it.

        As long as whatever is run fails, that is not told: the next command has another go.
        """
        ready = [(entry.arm, entry.trial)] if entry.trial is not None else []
        if result.status is Status.FAILED and not self.has_worked:
            self._doubtful += ready
            return
        ready, self._doubtful = self._doubtful + ready, []
        if entry.arm.name == NO_CURRICULUM:
            ready, self._waiting = ready + self._waiting, []
        for arm, number in ready:
            self._conclude(arm, number)

    def count(self) -> None:
        """Those of this command, with as many trials as the budget has left."""
        more = self._trials_left() * self.file.study.seeds_per_trial
        self.progress.total = len(self._entries) + len(self._queue) + more

    def remarks(self) -> list[str]:
        """What a reader of the study's result has to know besides."""
        left, trials = self._tries_left(), self.file.study.trials
        if left and not self._trials_left():
            return [f"The study's budget was enough for {trials - left} of {trials} trials."]
        return []

    def runs(self, arm: Arm, trial: int | None = None) -> list[Entry]:
        """The runs of an arm in the search: one for each of its seeds."""
        return [
            Entry(arm=arm, experiment=self.file.experiment(arm, seed, small=True), trial=trial)
            for seed in self.file.search_seeds
        ]

    def entries(self) -> list[Entry]:
        """Every run of a baseline, and of a trial that has been handed out."""
        trials = [entry for number, params in self.searcher.handed_out() for entry in self._trial(number, params)]
        return self.baselines + trials

    def ended_runs(self) -> list[tuple[Entry, RunResult]]:
        """Every run of the search that has ended, with its result."""
        return [(entry, result) for entry in self.entries() if (result := self.result(entry)) is not None]

    def finished(self) -> list[Candidate]:
        """The baselines and trials that saw all their images on all their seeds; the best first."""
        by_arm: dict[str, list[tuple[Entry, RunResult]]] = {}
        for entry, result in self.ended_runs():
            if result.status is Status.FINISHED:
                by_arm.setdefault(entry.arm.name, []).append((entry, result))
        found = []
        for pairs in by_arm.values():
            entries, results = zip(*pairs, strict=True)
            if len(entries) == len(self.file.search_seeds) and (values := self._values(entries, results)) is not None:
                found.append(Candidate(entry=entries[0], results=results, values=values))
        return sorted(found, key=lambda candidate: self._sign * candidate.values[0])

    def pareto(self) -> list[Candidate]:
        """Those of `finished` that no other beats in one objective without losing in another."""
        candidates = self.finished()
        if not candidates:
            return []
        signs = [-1 if direction == "minimize" else 1 for direction in self.file.directions]
        front = pareto(np.array([candidate.values for candidate in candidates]) * signs)
        return [candidate for candidate, best in zip(candidates, front, strict=True) if best]

    def _hopeless(self, entry: Entry, images: int, value: float, metrics: Mapping[str, float]) -> bool:
        key = entry.experiment.identity()
        return self._stopper.decide(key, images, self._sign * value, metrics["unlocked_share"]) == "stop"

    def _conclude(self, arm: Arm, number: int) -> None:
        if number not in dict(self.searcher.running()):
            return
        runs = self.runs(arm, number)
        results = [result for run in runs if (result := self.result(run)) is not None]
        spoilt = next((result for result in results if result.status is not Status.FINISHED), None)
        if spoilt is not None:
            self._queue = [entry for entry in self._queue if entry.trial != number]
        if spoilt is not None and spoilt.status is Status.STOPPED:
            curve = self.book.curve(runs[0].experiment.identity())
            self.searcher.tell_pruned(number, dict(curve.points(self.file.study.objective)))
        elif spoilt is not None:
            self.searcher.tell_fail(number, spoilt.reason)
        elif len(results) == len(runs):
            values = self._values(runs, results)
            if values is not None:
                self.searcher.tell_complete(number, values)
            elif any(self.result(run) is None for run in self.baselines if run.arm.name == NO_CURRICULUM):
                self._waiting.append((arm, number))
            else:
                self.searcher.tell_fail(number, f"{IMAGES_TO_BASELINE} has no value: {NO_CURRICULUM} did not finish")

    def _values(self, runs: Sequence[Entry], results: Sequence[RunResult]) -> tuple[float, ...] | None:
        """Of each objective; None while what one of them is relative to is not known."""
        deciding, values = self.file.study.objective, []
        for name in self.file.objectives:
            if name != IMAGES_TO_BASELINE:
                values.append(statistics.fmean(result.metrics[name] for result in results))
                continue
            ordinary = [self.result(run) for run in self.baselines if run.arm.name == NO_CURRICULUM]
            ends = [result.metrics[deciding] for result in ordinary if result and result.status is Status.FINISHED]
            if len(ends) < len(ordinary):
                return None
            curves = [self.book.curve(run.experiment.identity()).columns(deciding) for run in runs]
            mean = np.mean([curve for _, curve in curves], axis=0)
            values.append(images_to_baseline(curves[0][0], mean, statistics.fmean(ends), sign=-self._sign))
        return tuple(values)

    def _next_entry(self) -> Entry | None:
        if not self._queue and self._trials_left():
            asked = self.searcher.ask(self._owed())
            if asked is not None:
                self._tries[asked[1].get(ORDER)] += 1
                self._queue += self._trial(*asked)
        return self._queue.pop(0) if self._queue else None

    def _trial(self, number: int, params: Mapping[str, Any]) -> list[Entry]:
        return self.runs(Arm(name=f"trial {number}", role="searched", values=params), number)

    def _trials_left(self) -> int:
        return self.budget.trials_left((entry.experiment for entry in self._queue), self._tries_left())

    def _tries_left(self) -> int:
        return max(self.file.study.trials - self._tries.total(), 0)

    def _owed(self) -> dict[str, Any]:
        """What the next trial has to be so that ordinary training gets its equal share of tries."""
        orders = self.file.space.parameters.get(ORDER)
        if not self.file.study.equal_tries or orders is None or not orders.contains("none"):
            return {}
        most = max((tries for order, tries in self._tries.items() if order != "none"), default=0)
        return {ORDER: "none"} if self._tries["none"] < most else {}
