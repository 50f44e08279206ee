"""The first phase of a study: the search, which nominates leaders."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from curriculum_search.runs.job import Exhausted, Job, Status
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.store import RunStore
from curriculum_search.search.arms import NO_CURRICULUM, Arm, Run
from curriculum_search.search.design import Size
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.objectives import IMAGES_TO_BASELINE, images_to_baseline
from curriculum_search.search.optuna.searcher import Searcher
from curriculum_search.search.phases.base import Candidate, Phase
from curriculum_search.search.statistics.curves import pareto
from curriculum_search.search.study import StudyFile
from curriculum_search.search.tries import Tries
from curriculum_search.training import Report


class SearchPhase(Phase):
    """Trains the baseline arms, then what the searcher proposes, until the budget is spent.

    A trial is one run, or one for each seed of the search; its runs are handed out together, and those that have not
    begun are left out when one of them is stopped or fails.
    """

    name = "search"
    size: Size = "small"

    def __init__(self, file: StudyFile, store: RunStore, ledger: Ledger, searcher: Searcher) -> None:
        super().__init__(file, store, ledger, show_best=file.study.seeds_per_trial == 1)
        self.searcher = searcher
        self.baselines = [run for arm in file.baselines(small=True) for run in self.runs_of(arm)]
        self._stopper = file.study.rule.build(file.small.training.total_images)
        self._tries = Tries(file, (params for _, params in searcher.handed_out()))
        self._queue: list[Run] = []
        self._waiting: list[tuple[Arm, int]] = []  # for the value of ordinary training
        self._doubtful: list[tuple[Arm, int]] = []  # failed, as all before them
        self._lost: set[int | None] = set()  # whose run's folder was deleted; the journal knows how they had ended

    def resume(self) -> None:
        """Interrupted trials, then baselines that have not ended, then trials whose run's folder is gone."""
        self._queue = [run for number, params in self.searcher.running() for run in self._trial(number, params)]
        for run in (*self.baselines, *self._queue):
            self.store.forget_failure(run.key)
        self._queue += [run for run in self.baselines if self.file.study.searches and self.result(run) is None]
        runs, complete = self.runs(), self.searcher.completed()
        lost = [run for run in runs if run.trial in complete and self.result(run) is None]
        self._lost = {run.trial for run in lost}
        self._queue += lost
        for run in runs:  # What the stopping rule knew before an interruption.
            curve = self.store.curve(run.key)
            for images, metrics in zip(curve.images, curve.metrics, strict=True):
                self._should_stop(run, images, metrics)
        self.count()

    def pending(self) -> bool:
        """Whether a trial was interrupted, a baseline has not ended, or trials are left in the budget."""
        return bool(self._queue or self._trials_left())

    def next(self) -> Job | Exhausted:
        """Interrupted trials first, then the baselines, then new trials."""
        while (run := self._next_run()) is not None:
            result = self.result(run)
            if result is not None:  # The same run as a baseline, or as one that ended just before an interruption.
                self.settle(run, result)
            elif self.is_under_way(run):
                self.follow(run)
            else:
                return self.start(run)
        return Exhausted.WAIT if self._tries_left() and self.ledger.may_grow else Exhausted.DONE

    def judge(self, run: Run, report: Report, *, fresh: bool) -> bool:
        """Tell the searcher a trial's value, and ask the stopping rule."""
        # Baselines are never stopped, but trials are judged beside them.
        should_stop = self._should_stop(run, report.images, report.metrics)
        if run.trial is None or run.trial in self._lost:
            return False
        if run.trial not in dict(self.searcher.running()):
            return True  # Another seed has ended the trial.
        if fresh and run.experiment.seed == self.file.study.seed:
            self.searcher.report(run.trial, report.images, report.metrics[self.file.study.objective])
        return should_stop

    def settle(self, run: Run, result: RunResult) -> None:
        """Tell the searcher how a trial ended, once all its runs have, or one has spoilt it.

        As long as whatever is run fails, that is not told: the next command has another go.
        """
        ready = [(run.arm, run.trial)] if run.trial is not None else []
        if result.status is Status.LOST:  # The next command goes on with the trial.
            return
        if result.status is Status.FAILED and not self.has_worked:
            self._doubtful += ready
            return
        ready, self._doubtful = self._doubtful + ready, []
        if run.arm.name == NO_CURRICULUM:
            ready, self._waiting = ready + self._waiting, []
        for arm, number in ready:
            self._conclude(arm, number)

    def count(self) -> None:
        """Those of this command, with as many trials as the budget has left."""
        more = self._trials_left() * self.file.study.seeds_per_trial
        self.progress.total = len(self._handed_out) + len(self._queue) + more

    def remarks(self) -> list[str]:
        """What a reader of the study's result has to know besides."""
        left, trials = self._tries_left(), self.file.study.trials
        if left and not self._trials_left():
            return [f"The study's budget was enough for {trials - left} of {trials} trials."]
        return []

    def runs_of(self, arm: Arm, trial: int | None = None) -> list[Run]:
        """The runs of an arm in the search: one for each of its seeds."""
        return [self.file.run(arm, seed, small=True, trial=trial) for seed in self.file.search_seeds]

    def runs(self) -> list[Run]:
        """Every run of a baseline, and of a trial that has been handed out."""
        trials = [run for number, params in self.searcher.handed_out() for run in self._trial(number, params)]
        return self.baselines + trials

    def ended_runs(self) -> list[tuple[Run, RunResult]]:
        """Every run of the search that has ended, with its result."""
        return [(run, result) for run in self.runs() if (result := self.result(run)) is not None]

    def finished(self) -> list[Candidate]:
        """The baselines and trials that saw all their images on all their seeds; the best first."""
        by_arm: dict[str, list[tuple[Run, RunResult]]] = {}
        for run, result in self.ended_runs():
            if result.status is Status.FINISHED:
                by_arm.setdefault(run.arm.name, []).append((run, result))
        found = []
        for pairs in by_arm.values():
            runs, results = zip(*pairs, strict=True)
            if len(runs) == len(self.file.search_seeds) and (values := self._values(runs, results)) is not None:
                found.append(Candidate(run=runs[0], results=results, values=values))
        return self.file.direction.ranked(found, lambda candidate: candidate.values[0])

    def pareto(self) -> list[Candidate]:
        """Those of `finished` that no other beats in one objective without losing in another."""
        candidates = self.finished()
        if not candidates:
            return []
        signs = [direction.sign for direction in self.file.directions]
        front = pareto(np.array([candidate.values for candidate in candidates]) * signs)
        return [candidate for candidate, best in zip(candidates, front, strict=True) if best]

    def _should_stop(self, run: Run, images: int, metrics: Mapping[str, float]) -> bool:
        cost = -self.file.direction.sign * metrics[self.file.study.objective]
        return self._stopper.decide(run.key, images, cost, metrics["unlocked_share"]) == "stop"

    def _conclude(self, arm: Arm, number: int) -> None:
        if number not in dict(self.searcher.running()):
            return
        runs = self.runs_of(arm, number)
        results = [result for run in runs if (result := self.result(run)) is not None]
        if any(result.status is Status.LOST for result in results):
            return
        spoilt = next((result for result in results if result.status is not Status.FINISHED), None)
        if spoilt is not None:
            self._queue = [run for run in self._queue if run.trial != number]
        if spoilt is not None and spoilt.status is Status.STOPPED:
            curve = self.store.curve(runs[0].key)
            self.searcher.tell_pruned(number, dict(curve.points(self.file.study.objective)))
        elif spoilt is not None:
            self.searcher.tell_fail(number, spoilt.reason)
        elif len(results) == len(runs):
            values = self._values(runs, results)
            if values is not None:
                self.searcher.tell_complete(number, values)
            elif any(result is None or result.status is Status.LOST for result in map(self.result, self._ordinary)):
                self._waiting.append((arm, number))
            else:
                self.searcher.tell_fail(number, f"{IMAGES_TO_BASELINE} has no value: {NO_CURRICULUM} did not finish")

    @property
    def _ordinary(self) -> list[Run]:
        return [run for run in self.baselines if run.arm.name == NO_CURRICULUM]

    def _values(self, runs: Sequence[Run], results: Sequence[RunResult]) -> tuple[float, ...] | None:
        """Of each objective; None while what one of them is relative to is not known."""
        deciding, values = self.file.study.objective, []
        for name in self.file.objectives:
            if name != IMAGES_TO_BASELINE:
                values.append(statistics.fmean(result.metrics[name] for result in results))
                continue
            ordinary = [self.result(run) for run in self._ordinary]
            ends = [result.metrics[deciding] for result in ordinary if result and result.status is Status.FINISHED]
            if len(ends) < len(ordinary):
                return None
            curves = [self.store.curve(run.key).columns(deciding) for run in runs]
            mean = np.mean([curve for _, curve in curves], axis=0)
            values.append(images_to_baseline(curves[0][0], mean, statistics.fmean(ends), self.file.direction))
        return tuple(values)

    def _next_run(self) -> Run | None:
        if not self._queue and self._trials_left():
            asked = self.searcher.ask(*self._tries.owed())
            if asked is not None:
                self._tries.add(asked[1])
                self._queue += self._trial(*asked)
        return self._queue.pop(0) if self._queue else None

    def _trial(self, number: int, params: Mapping[str, Any]) -> list[Run]:
        return self.runs_of(Arm(name=f"trial {number}", role="searched", values=params), number)

    def _trials_left(self) -> int:
        return self.ledger.budget.trials_left([self.ledger.rest(run) for run in self._queue], self._tries_left())

    def _tries_left(self) -> int:
        return max(self.file.study.trials - self._tries.total, 0)
