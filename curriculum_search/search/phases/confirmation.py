"""The second phase of a study: leaders, named arms, controls and baselines, on seeds that the search never saw.

The best of many noisy trials looks better than it is, so the search only nominates.  What is claimed rests on these
runs alone.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from curriculum_search.atomic import write_whole
from curriculum_search.loading import UserError
from curriculum_search.runs.job import Exhausted, Job, Status
from curriculum_search.runs.result import Curve, RunResult
from curriculum_search.runs.store import RunStore
from curriculum_search.search.arms import (
    NO_CURRICULUM,
    Arm,
    Run,
    control_name,
    exposure_control,
    is_ordinary,
    ordinary_with_settings_of,
    title,
)
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.phases.base import Candidate, Phase
from curriculum_search.search.statistics.comparison import Plan
from curriculum_search.search.statistics.standing import standing
from curriculum_search.search.statistics.verdict import allocate
from curriculum_search.search.study import StudyFile

RECORD = "confirmation.json"


@dataclass(kw_only=True)
class _Record:
    """What ``confirmation.json`` in the study's folder holds.

    It cannot be made again from the runs: those of a confirmation look alike whether it was the first or the third, and
    bounds that are fixed after runs have been seen are none.  So where it is damaged, the user decides.

    Attributes:
        leaders: of each confirmation that the study has had, the identities of its leaders.
        max_seeds: by the confirmation's number and the study's limits, the seeds that an undecided arm may get.
    """

    leaders: list[list[str]]
    max_seeds: dict[str, int]

    @classmethod
    def load(cls, folder: Path) -> "_Record":
        path = folder / RECORD
        try:
            record = cls(**json.loads(path.read_text()))
            if isinstance(record.leaders, list) and isinstance(record.max_seeds, dict):
                return record
        except FileNotFoundError:
            return cls(leaders=[], max_seeds={})
        except (ValueError, TypeError):
            pass
        raise UserError(
            f"{path}: cannot be read.  It counts the study's verdicts, each of which has an error rate of its own: put "
            f"it back from a copy, or remove it, and the next verdict counts as the first"
        )

    def number(self, leaders: list[str]) -> int:
        """Which confirmation of the study that of these leaders is, or would be."""
        return 1 + (self.leaders.index(leaders) if leaders in self.leaders else len(self.leaders))

    def save(self, folder: Path) -> None:
        write_whole(folder / RECORD, json.dumps(asdict(self)))


def check_record(folder: Path) -> None:
    """Find out whether what is written down of a study's confirmations can be read.

    Raises:
        UserError: it cannot.
    """
    _Record.load(folder)


class ConfirmationPhase(Phase):
    """Trains each arm on fresh seeds, round after round, until the verdict is clear or the seeds are used up.

    Ordinary training is what all else is compared with, so it is given every chance: it enters with the best settings
    that it was tried with or with those of a leader, whichever do better on the first `min_seeds` seeds.  Else the
    search's luck in settings, of which curricula together get more tries, would be taken for a gain of curricula.

    Arms that the study names take part as leaders do.  A leader's control has the exposure that the leader had in the
    search; that of a named arm, or where the search trained at a proxy's size, the one that it had in its first run
    here.

    Args:
        file: the study file.
        store: the study's runs.
        ledger: what the study has cost.
        finished: what the search has finished, the best first.
        front: those of them that no other beats in every objective, which lead before all others.

    Attributes:
        arms: by name.
        leaders: the best curricula of the search that are not confirmed as baselines anyway.
        plan: what is compared.  Its `max_seeds` is what the study's budget allows, fixed before the first run.
        number: which confirmation of the study this is: one with other leaders is another.
    """

    name = "confirmation"

    def __init__(
        self,
        file: StudyFile,
        store: RunStore,
        ledger: Ledger,
        finished: Sequence[Candidate],
        front: Sequence[Candidate],
    ) -> None:
        super().__init__(file, store, ledger)
        settings = file.study.confirmation
        self.arms: dict[str, Arm] = {arm.name: arm for arm in (*file.baselines(), *file.arms)}
        ordinary = next((candidate for candidate in finished if is_ordinary(candidate.run.experiment)), None)
        if ordinary is not None:
            self.arms[NO_CURRICULUM] = replace(self.arms[NO_CURRICULUM], values=ordinary.arm.values)
        sure = {self._first_key(arm) for arm in self.arms.values()}
        best = [*front, *(candidate for candidate in finished if candidate not in front)]
        curricula = [candidate for candidate in best if not is_ordinary(candidate.run.experiment)]
        self.leaders = [
            candidate
            for candidate in curricula
            if candidate.arm.role == "searched" and self._first_key(candidate.arm) not in sure
        ][: settings.leaders if file.study.searches else 0]
        leading = [*file.arms, *(leader.arm for leader in self.leaders)]
        self.arms |= {arm.name: arm for arm in leading}
        self._ordered = [arm for arm in leading if file.has_order(arm)]
        self._variants = self._ordinary_with_settings_of(leading)
        self.plan = Plan(
            reference=NO_CURRICULUM,
            leaders=tuple(arm.name for arm in leading),
            controls={arm.name: control_name(arm) for arm in self._ordered},
            baselines=tuple(name for name in file.study.baselines if name != NO_CURRICULUM),
            reference_variants=len(self._variants),
            direction=file.direction,
            min_seeds=settings.min_seeds,
            max_seeds=settings.max_seeds,
            first_seed=file.search_seeds.stop,
            confidence=settings.confidence,
        )
        self._record = _Record.load(store.root)
        self._leading_keys = sorted(map(self._first_key, leading))
        self.number = self._record.number(self._leading_keys) if leading else 1
        self._running = 0
        self._queue: list[Run] = []

    def resume(self) -> None:
        """Fix how many seeds there can be, and decide the first round."""
        for arm in (*self.arms.values(), *self._variants):
            self._forget_failures(arm)
        if self._leading_keys and self._leading_keys not in self._record.leaders:
            self._record.leaders.append(self._leading_keys)
            self._record.save(self.store.root)
        self.plan = replace(self.plan, max_seeds=self._max_seeds())
        self._queue = self._round()
        self.progress.total = max(self.plan.least_runs - self._num_done(), len(self._queue))
        self._show_standing()

    def run(self, arm: str, seed: int) -> Run:
        """The run of an arm on a seed."""
        return self.file.run(self.arms[arm], seed)

    def results(self, arm: str) -> dict[int, RunResult]:
        """The runs of an arm that have ended, by seed."""
        return self._results(self.arms[arm])

    def curve(self, arm: str, seed: int) -> Curve:
        """What a run has reported."""
        return self.store.curve(self.run(arm, seed).key)

    def values(self, metric: str) -> dict[str, dict[int, float]]:
        """Arm to seed to the final value of a metric: NaN where the run diverged, nothing where an error ended it."""
        return {
            name: {
                seed: result.metrics[metric] if result.status is Status.FINISHED else float("nan")
                for seed, result in self.results(name).items()
                if not result.status.is_failure
            }
            for name in self.arms
        }

    def remarks(self) -> list[str]:
        """What a reader of the verdict has to know besides."""
        words = []
        if self.number > 1:
            words.append(f"It is verdict {self.number} of this study, each with an error rate of its own.")
        if self.plan.max_seeds < (most := self.file.study.confirmation.max_seeds):
            words.append(f"The study's budget was enough for {self.plan.max_seeds} of {most} seeds.")
        for name in self.arms:
            if failed := sum(result.status.is_failure for result in self.results(name).values()):
                runs = "A run" if failed == 1 else f"{failed} runs"
                words.append(f"{runs} of {name} failed, and what needs them is missing; the same command tries again.")
        return words

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

    def shows_samples(self, run: Run) -> bool:
        """An arm is seen to learn on its first seed."""
        return run.experiment.seed == self.plan.first_seed

    def settle(self, run: Run, result: RunResult) -> None:
        """Count a run out."""
        self._running -= 1
        self._show_standing()

    def _show_standing(self) -> None:
        first = self.plan.first_seed
        titles = {name: title(arm, self.run(name, first).experiment) for name, arm in self.arms.items()}
        objective = self.file.study.objective
        self.progress.standing = standing(self.plan, self.values(objective), titles, metric=objective)

    def _first_key(self, arm: Arm) -> str:
        return self.file.run(arm, self.file.search_seeds.stop).key

    def _seeds(self, arm: Arm) -> range:
        """The seeds that an arm may be given."""
        first, most = self.plan.first_seed, self.file.study.confirmation.max_seeds
        name = NO_CURRICULUM if arm in self._variants else arm.name
        return range(first, first + self.plan.seeds_of(name, most))

    def _results(self, arm: Arm) -> dict[int, RunResult]:
        found = {seed: self.result(self.file.run(arm, seed)) for seed in self._seeds(arm)}
        return {seed: result for seed, result in found.items() if result is not None}

    def _forget_failures(self, arm: Arm) -> None:
        for seed in self._seeds(arm):
            self.store.forget_failure(self.file.run(arm, seed).key)

    def _round(self) -> list[Run]:
        """The runs that are worth most now."""
        if not self.file.study.confirms:
            return []
        first = self._choose_reference()
        undecided = {NO_CURRICULUM} if first else set()
        runs = [*first, *self._add_controls()]
        failed = [
            (name, seed)
            for name in self.arms
            for seed, result in self.results(name).items()
            if result.status.is_failure
        ]
        asked = allocate(
            self.plan,
            self.values(self.file.study.objective),
            runs_left=self._runs_left(),
            concurrency=self.progress.concurrency,
            failed=failed,
        )
        runs += [self.run(arm, seed) for arm, seed in asked if arm in self.arms and arm not in undecided]
        # Two arms may be the same training, as when the search has found the published setting.
        runs = list({run.key: run for run in runs if self.result(run) is None}.values())
        runs = runs[: self.ledger.budget.fitting(map(self.ledger.rest, runs))]
        self.progress.total = max(self.progress.total, sum(self.progress.counts.values()) + len(runs))
        return runs

    def _num_done(self) -> int:
        return sum(len(self._results(arm)) for arm in (*self.arms.values(), *self._variants))

    def _runs_left(self) -> int | None:
        """What the budget has left."""
        arms = (*self.arms.values(), *self._variants)
        begun = self.ledger.begun_images(self.file.run(arm, seed).key for arm in arms for seed in self._seeds(arm))
        return self.ledger.budget.runs_left(begun, granted=max(self.plan.least_runs - self._num_done(), 0))

    def _max_seeds(self) -> int:
        """The seeds that the budget is enough for: bounds that count on seeds which never come find nothing."""
        runs = self._runs_left()
        if runs is None:
            return self.plan.max_seeds
        limits = f"{self.number} {self.ledger.settings}"
        if limits not in self._record.max_seeds:
            seeds = range(self.plan.max_seeds, self.plan.min_seeds, -1)
            fitting = (n for n in seeds if self.plan.leading_runs(n) <= runs + self._num_done())
            self._record.max_seeds[limits] = next(fitting, self.plan.min_seeds)
            self._record.save(self.store.root)
        return self._record.max_seeds[limits]

    def _ordinary_with_settings_of(self, leading: Sequence[Arm]) -> list[Arm]:
        """Ordinary training with the settings of each leader and named arm, where it does not enter with them."""
        found = {self._first_key(self.arms[NO_CURRICULUM]): self.arms[NO_CURRICULUM]}
        for leader in leading:
            arm = ordinary_with_settings_of(leader)
            found.setdefault(self._first_key(arm), arm)
        return list(found.values())[1:]

    def _choose_reference(self) -> list[Run]:
        """Have ordinary training enter with its best settings; the runs that have to end before that can be told."""
        candidates = [self.arms[NO_CURRICULUM], *self._variants]
        if len(candidates) == 1:
            return []
        seeds = range(self.plan.first_seed, self.plan.first_seed + self.plan.min_seeds)
        runs = [[self.file.run(arm, seed) for seed in seeds] for arm in candidates]
        missing = [run for of_arm in runs for run in of_arm if self.result(run) is None]
        if not missing:
            best = min(range(len(candidates)), key=lambda i: self._cost(runs[i]))
            self.arms[NO_CURRICULUM] = replace(self.arms[NO_CURRICULUM], values=candidates[best].values)
            for run in runs[best]:
                self.store.tracker.set_tags(run.key, {"arm": NO_CURRICULUM})
            self._variants = []
            self.plan = replace(self.plan, reference_variants=0)
        return missing

    def _cost(self, runs: Sequence[Run]) -> float:
        """The mean of the objective, less is better; infinite if a run did not come to its end."""
        ends = [self.result(run) for run in runs]
        values = [
            end.metrics[self.file.study.objective] if end and end.status is Status.FINISHED else math.inf
            for end in ends
        ]
        if not all(map(math.isfinite, values)):
            return math.inf
        return -self.plan.sign * math.fsum(values) / len(values)

    def _add_controls(self) -> list[Run]:
        """Make the controls; the runs that have to end before all of them can be made."""
        missing = []
        searched = {leader.arm.name: leader.results[0].exposure for leader in self.leaders}
        for arm in self._ordered:
            exposure = searched.get(arm.name, {})
            if self.file.study.proxy or not exposure:
                run = self._first_run_with_exposure(arm)
                if run is not None and self.result(run) is None:
                    missing.append(run)
                    continue
                result = self.result(run) if run is not None else None
                exposure = result.exposure if result is not None else exposure
            if exposure and control_name(arm) not in self.arms:
                control = exposure_control(arm, exposure)
                self.arms[control.name] = control
                self._forget_failures(control)
        return missing

    def _first_run_with_exposure(self, arm: Arm) -> Run | None:
        """The first of an arm's first runs that has come to its end, or may still do so; None if none will."""
        first = self.plan.first_seed
        for seed in range(first, first + self.plan.min_seeds):
            result = self.result(run := self.file.run(arm, seed))
            if result is None or result.status is Status.FINISHED:
                return run
        return None
