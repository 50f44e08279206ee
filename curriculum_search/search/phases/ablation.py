"""Which change brought how much: the path from ordinary training to the winner, one change at a time.

The idea is Fawcett & Hoos's (2016, "Analysing differences between algorithm configurations through ablation").  They
take at each step the change that gains most, which needs runs of every change that is left; here the order is fixed
beforehand, so that each step costs the runs of one arm.
"""

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curriculum_search.runs.job import Exhausted, Job, Status
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.store import RunStore
from curriculum_search.search.arms import NO_CURRICULUM, Arm, Run, is_ordinary, of_curriculum
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.phases.base import Phase
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.space import ORDER
from curriculum_search.search.statistics.verdict import judge
from curriculum_search.search.study import StudyFile

EXPOSURE = "exposure only"
_MOST_CHARACTERS = 60  # of a value in words

#: What the path can and cannot say, for the reader of a report.
PATH_MEANING = (
    "Each step keeps the changes of those before it. The order of the changes was fixed beforehand; another order "
    "would share the same gain out differently, for what a change brings depends on what was changed before it. "
    "Standard errors (±) take the runs as independent and are not corrected for the number of steps: the claim is the "
    "verdict, not this table."
)
EXPOSURE_MEANING = (
    f'"{EXPOSURE}" trains each noise level as often as the winner does, in no order; the steps after it have the '
    "exposure of their own curriculum."
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A config on the path.

    Attributes:
        changes: what is new in it, in words.
        run: on the first seed.
    """

    changes: tuple[str, ...]
    run: Run


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What a step came to.

    Attributes:
        change: what is new in it, in words.
        values: the objective of the runs that came to their end.
        lost: runs that did not.
        difference: of its mean from that of the step before; None where there are no runs to compare.
        error: standard error of the difference; None with fewer than two runs on a side.
    """

    change: str
    values: tuple[float, ...]
    lost: int
    difference: float | None
    error: float | None

    @property
    def mean(self) -> float | None:
        """Over the seeds."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def sd(self) -> float | None:
        """Over the seeds."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


def path_to(winner: Arm, control: Arm | None, file: StudyFile, seed: int) -> list[Step]:
    """The path: ordinary training at the base's settings; what is no part of the curriculum, in the order of the space;
    exposure only; the curriculum, with the base's settings; the winner's settings of it, in the order of the space.

    A change without effect is no step.  A change that makes no valid config by itself, or leaves a curriculum ordinary
    training, comes with the next one.

    Args:
        winner: where the path ends: a curriculum, or an exposure-matched control.
        control: the winner's exposure-matched control; None: no such step.
        file: the study file.
        seed: the first of the path.
    """
    start = Arm(name="ordinary training", role="baseline", values={ORDER: "none"})
    words = "ordinary training at the settings of base"
    steps = [Step(changes=(words,), run=file.run(start, seed))]
    carried: tuple[str, ...] = ()
    for change, arm in _changes(winner, control, file):
        run = _valid(file, arm, seed)
        if run is None or (of_curriculum(change) and is_ordinary(run.experiment)):
            carried += (change,)
        elif run.key == steps[-1].run.key:
            carried += (change,) if run.experiment != steps[-1].run.experiment else ()
        else:
            changes = (*carried, change)
            named = replace(arm, name=arm.name or f"step {len(steps)}, {', '.join(changes)}")
            steps.append(Step(changes=changes, run=replace(run, arm=named)))
            carried = ()
    assert steps[-1].run.key == file.run(winner, seed).key
    return [*steps[:-1], replace(steps[-1], run=file.run(winner, seed))]


def _changes(winner: Arm, control: Arm | None, file: StudyFile) -> Iterator[tuple[str, Arm]]:
    """Each change in words, with the arm that it leads to; those that the confirmation knows have their names."""

    def arm(values: dict[str, Any]) -> Arm:
        return Arm(name="", role="ablation", values=values)

    ranks = {path: rank for rank, path in enumerate(file.space.order)}
    paths = sorted(winner.values, key=lambda path: ranks.get(path, len(ranks)))
    is_control = winner.role == "control"  # whose density is its exposure
    values: dict[str, Any] = {}
    for path in paths:
        if not of_curriculum(path) and not (is_control and path.startswith("density.")):
            values = values | {path: winner.values[path]}
            yield _words(path, values[path]), arm(values | {ORDER: "none"})
    if is_control or control is not None:
        yield EXPOSURE, winner if control is None else control
    if is_control:
        return
    order = {ORDER: winner.values.get(ORDER, file.base.curriculum.order.to_dict()["kind"])}
    for path in [ORDER, *(path for path in paths if of_curriculum(path) and path != ORDER)]:
        values = values | {path: winner.values[path]} if path in winner.values else values
        yield _words(path, {**order, **winner.values}[path]), arm(values)


def _words(path: str, value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else json.dumps(value).replace('"', "")
    return f"{path} = {text if len(text) <= _MOST_CHARACTERS else f'{text[: _MOST_CHARACTERS - 3]}...'}"


def _valid(file: StudyFile, arm: Arm, seed: int) -> Run | None:
    try:
        run = file.run(arm, seed)
        run.experiment.check()
    except ValueError:
        return None
    return run


class AblationPhase(Phase):
    """Trains the steps of the path to the winner of the confirmation, `study.ablation_seeds` seeds each.

    Steps that are arms of the confirmation, the winner above all, keep its runs and get no more.

    Args:
        file: the study file.
        store: the study's runs.
        ledger: what the study has cost.
        confirmation: when it has ended.

    Attributes:
        steps: those that the budget suffices for; empty where there is no path.
        remark: why there is no path, or what is missing in it.
    """

    name = "ablation"

    def __init__(self, file: StudyFile, store: RunStore, ledger: Ledger, confirmation: ConfirmationPhase) -> None:
        super().__init__(file, store, ledger)
        plan, count, objective = confirmation.plan, file.study.ablation_seeds, file.study.objective
        self.steps: list[Step] = []
        self.remark = ""
        self._seeds = range(
            plan.first_seed, plan.first_seed + max(count, plan.seeds_of(plan.reference, plan.max_seeds))
        )
        self._wanted: list[Run] = []
        self._queue: list[Run] = []
        if not count:
            return
        verdict = judge(plan, confirmation.values(objective), metric=objective)
        if verdict.arm is None or verdict.main is None or not verdict.main.better:
            self.remark = f"No path: {verdict.arm or 'no leader'} did not come out ahead of {NO_CURRICULUM}."
            return
        control = confirmation.arms.get(plan.controls.get(verdict.arm, ""))
        path = path_to(confirmation.arms[verdict.arm], control, file, plan.first_seed)
        confirmed = {confirmation.run(arm, plan.first_seed).key for arm in confirmation.arms}
        runs = [[] if step.run.key in confirmed else self._runs(step)[:count] for step in path]
        chosen = _affordable([sum(map(self._is_missing, of_step)) for of_step in runs], self._runs_left())
        if chosen[:1] != [0] or len(chosen) < 2:
            self.remark = "No path: the budget has no runs left for it."
            return
        if len(chosen) < len(path):
            self.remark = (
                f"{len(path) - len(chosen)} of {len(path)} steps are left out, for the budget has no runs left for "
                "them: their changes come with the next step."
            )
        self.steps = _merged(path, chosen)
        self._wanted = [run for i in chosen for run in runs[i]]

    def resume(self) -> None:
        """Find the runs of the steps that have not ended."""
        for run in self._wanted:
            self.store.forget_failure(run.key)
        self._queue = [run for run in self._wanted if self.result(run) is None]
        self.progress.total = len(self._queue)

    def pending(self) -> bool:
        """Whether a step is to have another run."""
        return bool(self._queue)

    def next(self) -> Job | Exhausted:
        """The runs, step by step along the path."""
        return self.start(self._queue.pop(0)) if self._queue else Exhausted.DONE

    def settle(self, run: Run, result: RunResult) -> None:
        """Nothing waits for it."""

    def ended_runs(self) -> list[tuple[Run, RunResult]]:
        """Every run of this phase's own that has ended, with its result."""
        return [(run, result) for run in self._wanted if (result := self.result(run)) is not None]

    def path(self) -> list[StepResult]:
        """What each step came to, beside the one before it."""
        ends = [self._ends(step) for step in self.steps]
        return [
            _beside(", ".join(step.changes), end, before)
            for step, end, before in zip(self.steps, ends, [[], *ends], strict=False)
        ]

    def whole(self) -> StepResult | None:
        """The end of the path beside its beginning; None where there is no path."""
        return _beside("all of it", self._ends(self.steps[-1]), self._ends(self.steps[0])) if self.steps else None

    def _runs_left(self) -> int | None:
        """What the budget has left."""
        return self.ledger.budget.runs_left(self.ledger.begun_images(self.ledger.interrupted), ablation=True)

    def _runs(self, step: Step) -> list[Run]:
        return [self.file.run(step.run.arm, seed) for seed in self._seeds]

    def _is_missing(self, run: Run) -> bool:
        result = self.result(run)
        return result is None or result.status.is_failure

    def _ends(self, step: Step) -> list[float | None]:
        """The objective of each run that has ended; None where it did not see all its images."""
        results = [result for run in self._runs(step) if (result := self.result(run)) is not None]
        objective = self.file.study.objective
        return [result.metrics[objective] if result.status is Status.FINISHED else None for result in results]


def _affordable(costs: Sequence[int], runs_left: int | None) -> list[int]:
    """The places of the steps that the runs left suffice for, the earlier first."""
    chosen, spent = [], 0
    for place, cost in enumerate(costs):
        if runs_left is None or spent + cost <= runs_left:
            chosen.append(place)
            spent += cost
    return chosen


def _merged(path: Sequence[Step], chosen: Sequence[int]) -> list[Step]:
    """The chosen steps, each with the changes of those left out before it."""
    steps: list[Step] = []
    carried: tuple[str, ...] = ()
    for place, step in enumerate(path):
        if place in chosen:
            steps.append(replace(step, changes=carried + step.changes))
            carried = ()
        else:
            carried += tuple(change for change in step.changes if change != EXPOSURE)
    return steps


def _beside(change: str, ends: Sequence[float | None], before: Sequence[float | None]) -> StepResult:
    ours = [value for value in ends if value is not None]
    theirs = [value for value in before if value is not None]
    error = None
    if min(len(ours), len(theirs)) > 1:
        error = math.sqrt(sum(statistics.variance(values) / len(values) for values in (ours, theirs)))
    return StepResult(
        change=change,
        values=tuple(ours),
        lost=len(ends) - len(ours),
        difference=statistics.fmean(ours) - statistics.fmean(theirs) if ours and theirs else None,
        error=error,
    )
