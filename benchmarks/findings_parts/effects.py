"""What the runs of a context say: recomputed from the final values of every run, by the statistics of a study."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from findings_parts.records import curves_of, plan_of, values_of

from curriculum_search.search.results.words import describe
from curriculum_search.search.statistics.comparison import Comparison, Contrast, Plan, compare
from curriculum_search.search.statistics.power import separable
from curriculum_search.search.statistics.verdict import Sooner, Verdict, judge, sooner

#: With which a true difference is to be found, for a null to be read as "smaller than this".
CHANCE = 0.9


def side(comparison: Comparison | None) -> str:
    """What is claimed of an arm: better, worse, or not separable."""
    if comparison is None or not comparison.claimed:
        return "not separable"
    return "better" if comparison.better else "worse"


def detectable(comparison: Comparison, plan: Plan) -> float | None:
    """The least true difference that the comparison finds with probability `CHANCE`; None where nothing varies."""
    if not math.isfinite(comparison.error):
        return None
    seeds = comparison.num_seeds
    return separable(comparison, seeds, chance=CHANCE, share=seeds / plan.max_seeds)


@dataclass(frozen=True)
class Outcome:
    """A context, or a search in one, that has ended.

    Attributes:
        name: of the context.
        record: what was kept of it.
    """

    name: str
    record: Mapping[str, Any]

    @cached_property
    def plan(self) -> Plan:
        """What was compared."""
        return plan_of(self.record)

    @property
    def metrics(self) -> list[str]:
        """The deciding metric, then the others."""
        return list(self.record["metrics"])

    @cached_property
    def comparisons(self) -> dict[str, dict[Contrast, Comparison]]:
        """All comparisons of the plan, by metric; each metric has the whole error probability for itself."""
        return {metric: compare(self.plan, values_of(self.record, metric)) for metric in self.metrics}

    @cached_property
    def verdict(self) -> Verdict:
        """What the study said in the end."""
        objective, *others = self.metrics
        return judge(
            self.plan,
            values_of(self.record, objective),
            metric=objective,
            others={metric: values_of(self.record, metric) for metric in others},
            curves=curves_of(self.record),
        )

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        return describe(self.verdict, best="best.yaml", density="").headline

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that are compared with ordinary training, their controls aside."""
        return self.plan.leaders

    def total(self, arm: str, metric: str | None = None) -> Comparison:
        """An arm against ordinary training."""
        return self.comparisons[metric or self.metrics[0]][Contrast(arm=arm, against=self.plan.reference)]

    def exposure(self, arm: str) -> Comparison | None:
        """Its exposure-matched control against ordinary training; None where it has no order."""
        control = self.plan.controls.get(arm)
        return None if control is None else self.total(control)

    def order(self, arm: str) -> Comparison | None:
        """The arm against its exposure-matched control: what the order adds."""
        control = self.plan.controls.get(arm)
        return None if control is None else self.comparisons[self.metrics[0]][Contrast(arm=arm, against=control)]

    def sooner(self, arm: str) -> Sooner | None:
        """How much sooner it reaches ordinary training's final value, with an interval of this comparison alone."""
        return sooner(self.plan, curves_of(self.record), arm)

    def runs(self, arm: str, metric: str | None = None) -> list[float]:
        """The final values of an arm's runs that came to their end."""
        values = values_of(self.record, metric or self.metrics[0])[arm].values()
        return [value for value in values if math.isfinite(value)]

    def mean(self, arm: str) -> float:
        """Of those values; the worst there is where no run came to its end."""
        runs = self.runs(arm)
        return statistics.fmean(runs) if runs else -self.plan.sign * math.inf

    def spread(self, arm: str) -> float:
        """Their standard deviation; NaN of fewer than two."""
        runs = self.runs(arm)
        return statistics.stdev(runs) if len(runs) > 1 else math.nan

    @property
    def best_arm(self) -> str:
        """The arm with the best mean, ordinary training and the controls among them."""
        return self.plan.direction.best((self.plan.reference, *self.plan.arms), self.mean)

    def direct(self, arm: str, other: str) -> str:
        """Whether `arm` is better than `other`, from the intervals of both against ordinary training.

        The two hold together, so that their difference lies between the differences of their ends.
        """
        ours, theirs, sign = self.total(arm), self.total(other), self.plan.sign
        low, high = ours.low - theirs.high, ours.high - theirs.low
        if low > 0 or high < 0:
            return "better" if sign * (low + high) > 0 else "worse"
        return "not separable"


def family_confidence(confidence: float, studies: int) -> float:
    """The confidence of all intervals together where each of so many studies has its own."""
    return 1 - studies * (1 - confidence)
