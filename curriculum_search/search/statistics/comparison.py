"""What a confirmation compares, and how the comparisons stand.

Fresh seeds are added to the arms one at a time, and the results are read after each.  Two things keep the probability
of any false claim at 1 - confidence (`benchmarks/calibration.py` measures it):

- *Repeated looks*: each comparison is Welch's t-test against a bound for Brownian motion (`sequential`), which holds
  for any choice of looks.  What it is too strict by, for looks that are not continuous, pays for t-tests on few seeds
  not being quite what they should.
- *Several arms*: the comparisons share the error by the weighted method of Holm.  Most of it goes to the leaders, and
  what is decided passes its share on.

Which arms get more seeds depends on the results, but a comparison at n seeds is always of the first n seeds of its two
arms, so that giving an arm up can only take claims away.

A run that diverged has the worst finite value of all runs in its place, and an arm that diverged more often than
another by more than chance (Fisher's exact test, 5 %) is not called better than it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from curriculum_search.search.statistics.sequential import (
    Array,
    Moments,
    more_often,
    normal_score,
    predictive_power,
    sup_quantile,
    sup_tail,
    weighted_holm,
    welch,
)

#: Arm to seed to final value; a value that is not finite means that the run diverged.
Results = Mapping[str, Mapping[int, float]]

#: Share of the error that the leaders' comparisons have, as long as nothing is decided.
_LEADERS_SHARE = 0.8
#: Pairing by seed needs a correlation between arms that is above zero by this many standard errors.
_PAIRING_Z = 2.33
_PAIRING_MIN_SEEDS = 5
#: Level at which one arm counts as diverging more often than another.
_MORE_OFTEN = 0.05


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Two arms that are compared."""

    arm: str
    against: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared, fixed before the first run.

    Attributes:
        reference: the arm without a curriculum.
        leaders: the arms that the search found best.
        controls: leader to its exposure-matched control.
        baselines: further arms.
        rivals: other settings that the reference may be trained with; each of them is tried on `min_seeds` seeds.
        direction: whether less or more is better.
        min_seeds: seeds that every arm gets.
        max_seeds: seeds that an arm can get.
        first_seed: the seeds are this one and those that follow it.
        confidence: probability that no claim is false.
    """

    reference: str
    leaders: tuple[str, ...]
    controls: Mapping[str, str] = field(default_factory=dict)
    baselines: tuple[str, ...] = ()
    rivals: int = 0
    direction: Literal["minimize", "maximize"] = "minimize"
    min_seeds: int = 4
    max_seeds: int = 12
    first_seed: int = 0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 2 <= self.min_seeds <= self.max_seeds:
            raise ValueError(f"min_seeds must be in [2, max_seeds = {self.max_seeds}], not {self.min_seeds}")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence must be in [0.5, 1), not {self.confidence}")
        if unknown := sorted(set(self.controls) - set(self.leaders)):
            raise ValueError(f"controls must belong to leaders, not to {', '.join(unknown)}")
        names = [self.reference, *self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"arms must have different names, not {', '.join(names)}")

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms but the reference."""
        return (*self.leaders, *self.controls.values(), *self.baselines)

    @property
    def sign(self) -> int:
        """What makes a difference positive where it is a gain."""
        return 1 if self.direction == "maximize" else -1

    @property
    def reference_factor(self) -> int:
        """Seeds of the reference for each seed of an arm: it is part of every comparison, so its seeds count more."""
        return 2 if len(self.arms) > 1 else 1

    @property
    def contrasts(self) -> dict[Contrast, float]:
        """The comparisons with their weights, which sum to 1: arms with the reference, leaders with their controls."""
        first = [Contrast(arm=arm, against=self.reference) for arm in self.leaders]
        others = [arm for arm in self.arms if arm not in self.leaders]
        second = [Contrast(arm=arm, against=self.reference) for arm in others]
        second += [Contrast(arm=leader, against=control) for leader, control in self.controls.items()]
        share = _LEADERS_SHARE if first and second else float(bool(first))
        return {c: share / len(first) for c in first} | {c: (1 - share) / len(second) for c in second}

    @property
    def least_runs(self) -> int:
        """Runs of a confirmation in which no arm gets more than `min_seeds`."""
        return (len(self.arms) + self.reference_factor + self.rivals) * self.min_seeds

    @property
    def most_runs(self) -> int:
        """Runs of a confirmation in which every arm gets `max_seeds`."""
        return (len(self.arms) + self.reference_factor) * self.max_seeds + self.rivals * self.min_seeds

    def leading_runs(self, num_seeds: int) -> int:
        """Runs of a confirmation in which leaders, controls and reference get `num_seeds`, all else `min_seeds`."""
        leading = len(self.leaders) + len(self.controls) + self.reference_factor
        return self.least_runs + leading * (num_seeds - self.min_seeds)

    def seeds_of(self, arm: str, num_seeds: int) -> int:
        """Seeds of `arm` that a comparison at `num_seeds` seeds needs: of the reference, more."""
        return num_seeds * (self.reference_factor if arm == self.reference else 1)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One arm against another.

    Attributes:
        num_seeds: seeds of the arm that are compared.
        difference: mean of the arm minus mean of the other, in units of the metric.
        low, high: interval of the difference.  Of a claimed one it holds at the level of the claim, over all looks, and
            leaves out 0.  Of any other it is corrected for the number of comparisons alone, and holds 0: corrected for
            looks it would be too wide to tell anything of an arm that was given up early.
        p_value: corrected for the number of comparisons and of looks.
        claimed: whether the difference is claimed to be real.
        better: whether the arm's mean is the better one.
        paired: whether runs with the same seed were compared with each other, because that was measured to help.
        diverged: number of the arm's runs that diverged.
        chance: probability that the remaining seeds lead to the claim that the arm is better, as things look.
        chance_either: the same for better or worse.
    """

    num_seeds: int
    difference: float
    low: float
    high: float
    p_value: float
    claimed: bool
    better: bool
    paired: bool
    diverged: int
    chance: float
    chance_either: float


def compare(plan: Plan, results: Results) -> dict[Contrast, Comparison]:
    """The comparisons of `plan` that have `min_seeds` seeds by now; runs missing in `results` have not ended."""
    columns = _columns(plan, results)
    ready = [contrast for contrast in plan.contrasts if seeds_compared(plan, results, contrast) >= plan.min_seeds]
    if not ready:
        return {}
    pairing = _pairing(plan, columns)
    looks = {contrast: _Looks(plan, contrast, columns, pairing) for contrast in ready}
    p_values = {contrast: sup_tail(look.peak) for contrast, look in looks.items()}
    outcome = weighted_holm(p_values, plan.contrasts, 1 - plan.confidence)
    plain = (1 - plan.confidence) / len(plan.contrasts)
    return {contrast: look.comparison(*outcome[contrast], plain) for contrast, look in looks.items()}


def seeds_compared(plan: Plan, results: Results, contrast: Contrast) -> int:
    """Seeds at which the two arms can be compared by now."""
    return min(_in_a_row(plan, results, arm) // plan.seeds_of(arm, 1) for arm in (contrast.arm, contrast.against))


def _in_a_row(plan: Plan, results: Results, arm: str) -> int:
    """Runs of `arm` that have ended, from the first seed to the first that is missing."""
    limit = plan.seeds_of(arm, plan.max_seeds)
    done = results.get(arm, {})
    return next((n for n in range(limit) if plan.first_seed + n not in done), limit)


class _Column:
    """An arm's values in the order of the seeds, with `worst` for those that are not finite."""

    def __init__(self, values: Array, worst: float) -> None:
        self.diverged = ~np.isfinite(values)
        self.values = np.where(self.diverged, worst, values)
        self.moments = Moments(self.values)

    def __len__(self) -> int:
        return len(self.values)


def _columns(plan: Plan, results: Results) -> dict[str, _Column]:
    raw = {}
    for arm in (plan.reference, *plan.arms):
        seeds = range(plan.first_seed, plan.first_seed + _in_a_row(plan, results, arm))
        raw[arm] = np.array([results[arm][seed] for seed in seeds], dtype=np.float64)
    gains = np.concatenate([plan.sign * values[np.isfinite(values)] for values in raw.values()])
    worst = plan.sign * gains.min() if gains.size else 0.0
    return {arm: _Column(values, worst) for arm, values in raw.items()}


def _pairing(plan: Plan, columns: Mapping[str, _Column]) -> NDArray[np.bool_]:
    """Whether runs with the same seed are compared with each other at n seeds, for n = 0 .. max_seeds.

    That pays where arms are so correlated over the seeds that it makes up for the lost degrees of freedom and for the
    reference's extra seeds.  The choice looks at correlations and spreads, never at differences, and asks for a
    correlation that chance gives once in a hundred studies: it can bring in no more than a small part of the error.
    """
    helps = np.zeros(plan.max_seeds + 1, dtype=np.bool_)
    counts = np.arange(_PAIRING_MIN_SEEDS, plan.max_seeds + 1)
    factor = plan.reference_factor
    fisher, gains, present = (np.zeros(len(counts)) for _ in range(3))
    rows = []
    for arm in plan.arms:
        a, b = columns[arm], columns[plan.reference]
        n = counts[: max(0, min(len(a), len(b) // factor) - _PAIRING_MIN_SEEDS + 1)]
        if not n.size:
            continue
        steps = Moments(a.values[: len(b)] - b.values[: len(a)])
        (_, var_a), (_, var_b), (_, var_step) = (moments.at(n) for moments in (a.moments, b.moments, steps))
        scale = np.sqrt(var_a * var_b)
        products = np.divide(var_a + var_b - var_step, 2 * scale, out=np.zeros(len(n)), where=scale > 0)
        fisher[: len(n)] += np.arctanh(np.clip(products, -0.999999, 0.999999))
        present[: len(n)] += 1
        rows.append((n, var_a, var_b, scale))
    known = present > 0
    low = np.zeros(len(counts))
    error = _PAIRING_Z / np.sqrt(present[known] * (counts[known] - 3))
    low[known] = np.tanh(fisher[known] / present[known] - error)
    for n, var_a, var_b, scale in rows:
        paired = stdtrit(n - 1, 0.975) * np.sqrt(np.maximum(var_a + var_b - 2 * low[: len(n)] * scale, 1e-300) / n)
        errors, freedoms = welch(var_a, n, var_b, n * factor)
        gains[: len(n)] += np.log(np.maximum(stdtrit(freedoms, 0.975) * errors, 1e-300) / paired)
    helps[counts] = (low > 0) & (gains > 0)
    return helps


class _Looks:
    """One comparison at each number of seeds from `min_seeds` to what there is: arrays over the looks."""

    def __init__(
        self, plan: Plan, contrast: Contrast, columns: Mapping[str, _Column], pairing: NDArray[np.bool_]
    ) -> None:
        a, b = columns[contrast.arm], columns[contrast.against]
        factor = plan.seeds_of(contrast.against, 1)
        last = min(len(a), len(b) // factor)
        n = np.arange(plan.min_seeds, last + 1)
        mean_a, var_a = a.moments.at(n)
        mean_b, var_b = b.moments.at(n * factor)
        self.differences = mean_a - mean_b
        self.errors, self.freedoms = welch(var_a, n, var_b, n * factor)
        paired = pairing[n]
        if paired.any():
            mean_step, var_step = Moments(a.values[:last] - b.values[:last]).at(n)
            self.differences = np.where(paired, mean_step, self.differences)
            self.errors = np.where(paired, np.sqrt(var_step / n), self.errors)
            self.freedoms = np.where(paired, n - 1.0, self.freedoms)
        self.num_seeds = last
        self.paired = bool(paired[-1])
        self.shares = n / plan.max_seeds
        self.sign = plan.sign
        self.diverged = int(a.diverged[:last].sum())
        other = int(b.diverged[: last * factor].sum())
        #: 1: the arm diverged more often, so that it may only be called worse; -1: the other did.
        self.unsafe = 0
        if self.diverged or other:
            self.unsafe = int(more_often(self.diverged, last, other, last * factor) < _MORE_OFTEN)
            self.unsafe -= int(more_often(other, last * factor, self.diverged, last) < _MORE_OFTEN)
        scores = normal_score(self.sign * self.differences, self.errors, self.freedoms) * np.sqrt(self.shares)
        self.scores = np.where(scores * self.unsafe > 0, 0.0, scores)

    @property
    def peak(self) -> float:
        return float(np.abs(self.scores).max())

    def comparison(self, level: float, p_value: float, plain_level: float) -> Comparison:
        bound = sup_quantile(level)
        share, score = float(self.shares[-1]), float(self.scores[-1])
        claimed = self.peak >= bound
        low, high = self._interval_of_claim(bound) if claimed else self._interval(plain_level)
        gain = self.scores[np.argmax(np.abs(self.scores))] if claimed else self.sign * self.differences[-1]
        return Comparison(
            num_seeds=self.num_seeds,
            difference=float(self.differences[-1]),
            low=-math.inf if self.unsafe * self.sign > 0 else low,
            high=math.inf if self.unsafe * self.sign < 0 else high,
            p_value=p_value,
            claimed=claimed,
            better=bool(gain > 0),
            paired=self.paired,
            diverged=self.diverged,
            chance=predictive_power(score, bound, share),
            chance_either=predictive_power(abs(score), bound, share),
        )

    def _interval_of_claim(self, bound: float) -> tuple[float, float]:
        """The part that the intervals of all looks share (repeated confidence intervals, Jennison & Turnbull 1989)."""
        widths = -stdtrit(self.freedoms, np.maximum(ndtr(-bound / np.sqrt(self.shares)), 1e-300)) * self.errors
        lows, highs = self.differences - widths, self.differences + widths
        if lows.max() > highs.min():  # Looks that contradict each other: the latest speaks.
            return float(lows[-1]), float(highs[-1])
        return float(lows.max()), float(highs.min())

    def _interval(self, level: float) -> tuple[float, float]:
        difference = float(self.differences[-1])
        width = float(stdtrit(self.freedoms[-1], 1 - level / 2) * self.errors[-1])
        return min(difference - width, 0.0), max(difference + width, 0.0)
