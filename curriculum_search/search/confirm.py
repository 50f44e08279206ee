"""The second phase of a study: leaders, controls and baselines again, on seeds that the search never saw.

The best of many noisy trials looks better than it is, so the search only nominates.  What is claimed rests on these
runs alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from curriculum_search.search.arms import NO_CURRICULUM, Arm, control_name, exposure_control
from curriculum_search.search.book.runs import Curve, RunBook, RunResult
from curriculum_search.search.execution.jobs import Exhausted, Job, Status
from curriculum_search.search.phases import Candidate, Entry, Phase
from curriculum_search.search.statistics.comparison import Plan
from curriculum_search.search.statistics.verdict import allocate
from curriculum_search.search.study import StudyFile


def is_ordinary(entry: Entry) -> bool:
    """Whether a run trains without a curriculum, however its config was written."""
    return entry.experiment.curriculum.canonical().order.all_at_once


class ConfirmationPhase(Phase):
    """Trains each arm on fresh seeds, round after round, until the verdict is clear or the seeds are used up.

    Ordinary training enters with the best settings that it was tried with.  A leader's control has the exposure that
    the leader had in the search, or, where the search trained at a proxy's size, in its first run at the base's.

    Args:
        file: the study file.
        book: the study's runs.
        finished: what the search has finished, the best first.
        front: those of them that no other beats in every objective, which lead before all others.
    """

    name = "confirmation"

    def __init__(
        self, file: StudyFile, book: RunBook, finished: Sequence[Candidate], front: Sequence[Candidate]
    ) -> None:
        super().__init__(file, book, total_images=file.base.training.total_images, show_best=False)
        settings = file.study.confirmation
        self.arms: dict[str, Arm] = {arm.name: arm for arm in file.baselines()}
        ordinary = next((candidate for candidate in finished if is_ordinary(candidate.entry)), None)
        if ordinary is not None:
            self.arms[NO_CURRICULUM] = replace(self.arms[NO_CURRICULUM], values=ordinary.arm.values)
        leading = [*front, *(candidate for candidate in finished if candidate not in front)]
        curricula = [candidate for candidate in leading if not is_ordinary(candidate.entry)]
        self.leaders = [candidate for candidate in curricula if candidate.arm.role == "searched"][: settings.leaders]
        self.arms |= {leader.arm.name: leader.arm for leader in self.leaders}
        self.plan = Plan(
            reference=NO_CURRICULUM,
            leaders=tuple(leader.arm.name for leader in self.leaders),
            controls={leader.arm.name: control_name(leader.arm) for leader in self.leaders},
            baselines=tuple(name for name in file.study.baselines if name != NO_CURRICULUM),
            direction=file.direction,
            min_seeds=settings.min_seeds,
            max_seeds=settings.max_seeds,
            first_seed=file.search_seeds.stop,
            confidence=settings.confidence,
        )
        for arm in self.arms:
            for seed in self.seeds(arm):
                self.forget_failure(self.entry(arm, seed))
        self._running = 0
        self._queue = self._round()
        self.progress.total = self.plan.least_runs - sum(map(len, self.values(file.study.objective).values()))

    def entry(self, arm: str, seed: int) -> Entry:
        """The run of an arm on a seed."""
        return Entry(arm=self.arms[arm], experiment=self.file.experiment(self.arms[arm], seed))

    def seeds(self, arm: str) -> range:
        """The seeds that an arm may be given."""
        first = self.plan.first_seed
        return range(first, first + self.plan.seeds_of(arm, self.plan.max_seeds))

    def results(self, arm: str) -> dict[int, RunResult]:
        """The runs of an arm that have ended, by seed."""
        found = {seed: self.result(self.entry(arm, seed)) for seed in self.seeds(arm)}
        return {seed: result for seed, result in found.items() if result is not None}

    def curve(self, arm: str, seed: int) -> Curve:
        """What a run has reported."""
        return self.book.curve(self.entry(arm, seed).experiment.identity())

    def values(self, metric: str) -> dict[str, dict[int, float]]:
        """Arm to seed to the final value of a metric: NaN where the run diverged, nothing where an error ended it."""
        return {
            arm: {
                seed: result.metrics[metric] if result.status is Status.FINISHED else float("nan")
                for seed, result in self.results(arm).items()
                if result.status is not Status.FAILED
            }
            for arm in self.arms
        }

    def pending(self) -> bool:
        """Whether an arm is to have another run."""
        return bool(self._queue)

    def next(self) -> Job | Exhausted:
        """The runs of a round; the next round is decided when all of them have ended."""
        if not self._queue and not self._running:
            self._queue = self._round()
        if self._queue:
            self._running += 1
            return self.start(self._queue.pop(0))
        return Exhausted.WAIT if self._running else Exhausted.DONE

    def settle(self, entry: Entry, result: RunResult) -> None:
        """Count a run out."""
        self._running -= 1

    def _round(self) -> list[Entry]:
        if self.file.study.confirmation.leaders == 0:
            return []
        if missing := self._add_controls():
            return missing[: self._runs_left()]
        values = self.values(self.file.study.objective)
        asked = allocate(self.plan, values, runs_left=self._runs_left(), concurrency=self.progress.concurrency)
        entries = [self.entry(arm, seed) for arm, seed in asked]
        runs = [entry for entry in entries if self.result(entry) is None]  # an error may have ended the others
        self.progress.total = max(self.progress.total, sum(self.progress.counts.values()) + len(runs))
        # Two arms may be the same training, as when the search has found the published setting.
        return list({run.experiment.identity(): run for run in runs}.values())

    def _runs_left(self) -> int | None:
        """What the budget has left."""
        named = (self.entry(arm, seed).experiment.identity() for arm in self.arms for seed in self.seeds(arm))
        done = sum(len(self.results(arm)) for arm in self.arms)
        return self.budget.runs_left(named, granted=max(self.plan.least_runs - done, 0))

    def _add_controls(self) -> list[Entry]:
        """Make the leaders' controls; the runs that have to end before all of them can be made."""
        missing = []
        for leader in self.leaders:
            exposure = leader.results[0].exposure
            if self.file.study.proxy:
                first = self.entry(leader.arm.name, self.plan.first_seed)
                result = self.result(first)
                if result is None:
                    missing.append(first)
                    continue
                exposure = result.exposure or exposure
            control = exposure_control(leader.arm, exposure)
            if control.name not in self.arms:
                self.arms[control.name] = control
                for seed in self.seeds(control.name):
                    self.forget_failure(self.entry(control.name, seed))
        return missing
