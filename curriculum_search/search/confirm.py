"""The second phase of a study: leaders, controls and baselines again, on seeds that the search never saw.

The best of many noisy trials looks better than it is, so the search only nominates.  What is claimed rests on these
runs alone.
"""

from dataclasses import replace

from curriculum_search.search.arms import NO_CURRICULUM, Arm, exposure_control
from curriculum_search.search.comparison import Plan
from curriculum_search.search.jobs import Exhausted, Job, Status
from curriculum_search.search.phases import Entry, Phase
from curriculum_search.search.runs import Curve, RunBook, RunResult
from curriculum_search.search.study import StudyFile
from curriculum_search.search.verdict import allocate


def is_ordinary(entry: Entry) -> bool:
    """Whether a run trains without a curriculum, however its config was written."""
    return entry.experiment.curriculum.canonical().order.all_at_once


class ConfirmationPhase(Phase):
    """Trains each arm on fresh seeds, round after round, until the verdict is clear or the seeds are used up.

    Args:
        file: the study file.
        book: the study's runs.
        finished: what the search has finished, the best first.
    """

    name = "confirmation"
    one_seed_each = False

    def __init__(self, file: StudyFile, book: RunBook, finished: list[tuple[Entry, RunResult]]) -> None:
        super().__init__(file, book)
        settings = file.study.confirmation
        self.arms: dict[str, Arm] = {arm.name: arm for arm in file.baselines()}
        leaders: list[str] = []
        controls: dict[str, str] = {}
        for entry, result in finished:
            if is_ordinary(entry):
                continue
            if entry.arm.role == "searched" and len(leaders) < settings.leaders:
                control = exposure_control(entry.arm, result.exposure)
                self.arms |= {entry.arm.name: entry.arm, control.name: control}
                leaders.append(entry.arm.name)
                controls[entry.arm.name] = control.name
        # Ordinary training stands there with the best settings that it was tried with.
        ordinary = next((entry for entry, _ in finished if is_ordinary(entry)), None)
        if ordinary is not None:
            self.arms[NO_CURRICULUM] = replace(self.arms[NO_CURRICULUM], values=ordinary.arm.values)
        self.plan = Plan(
            reference=NO_CURRICULUM,
            leaders=tuple(leaders),
            controls=controls,
            baselines=tuple(name for name in file.study.baselines if name != NO_CURRICULUM),
            direction=file.direction,
            min_seeds=settings.min_seeds,
            max_seeds=settings.max_seeds,
            first_seed=file.study.seed + 1,
            confidence=settings.confidence,
        )
        for arm in self.arms:
            for seed in self.seeds(arm):
                self.forget_failure(self.entry(arm, seed))
        self._queue = self._round()
        self._running = 0
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
        values = self.values(self.file.study.objective)
        asked = allocate(self.plan, values, concurrency=self.progress.concurrency)
        entries = [self.entry(arm, seed) for arm, seed in asked]
        runs = [entry for entry in entries if self.result(entry) is None]  # an error may have ended the others
        self.progress.total = max(self.progress.total, sum(self.progress.counts.values()) + len(runs))
        # Two arms may be the same training, as when the search has found the published setting.
        return list({run.experiment.identity(): run for run in runs}.values())
