"""What a confirmation compares, and how the comparisons stand.

Fresh seeds are added to the arms one at a time, and the results are read after each.  Two things keep the probability
of any false claim at 1 - confidence (`benchmarks/calibration.py` measures it):

- *Repeated looks*: each comparison is Welch's t-test against a bound for Brownian motion (`sequential`), which holds
  for any choice of looks.  The bound is a little too strict, because looks are few and not continuous, and t-tests on
  few seeds claim a little too often: the two about cancel.  On two or three seeds that is not enough: among several
  arms one will seem to vary hardly at all.  There each is taken to vary at least as much as the median arm does.
- *Several arms*: the comparisons share the error by the weighted method of Holm.  Most of it goes to the leaders, and
  what is decided passes its share on.

Which arms get more seeds depends on the results, but a comparison at n seeds is always of the first n seeds of its two
arms, so that giving an arm up can only take claims away.

Runs with the same seed are not paired: over the seeds of real runs arms are correlated by 0.1 to 0.3, and in simulated
studies with such a correlation pairing found at most 0.5 % more of the true gains.

A difference is also told as a share of the other arm's mean, which is uncertain too: its interval is Fieller's (1954),
at the critical values of the test, so that it leaves out 0 where the test does.  To divide the bounds of the difference
by that mean would be to take it for known.  Where the mean cannot be told from 0, there is no such share.

An arm without any spread over its seeds, as rounded values give, is taken to have that of the other arm.  Where neither
has any, the error is not known, and nothing is claimed: the likely cause is a seed that changes nothing.

A run that diverged has the worst finite value of the two arms in its place, and an arm that diverged more often than
another by more than chance (Fisher's exact test, 5 %) is not called better than it.  An arm all of whose runs diverged
is tested in the same way, but how much worse it is cannot be told.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr, stdtrit

from curriculum_search.direction import Direction
from curriculum_search.search.statistics.sequential import (
    Array,
    Moments,
    fieller,
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
#: Level at which one arm counts as diverging more often than another.
_MORE_OFTEN = 0.05
#: Seeds from which an arm's variance may be far below that of the other arms.
_VARIANCE_MIN_SEEDS = 4


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
        reference_variants: how many other settings the reference may be trained with; each is tried on `min_seeds`
            seeds.
        direction: whether less or more is better.
        min_seeds: seeds that every arm gets.
        max_seeds: seeds that an arm can get.
        first_seed: the seeds are this one and those that follow it.
        confidence: probability that no claim is false, over all arms and looks; also that of the intervals, which for
            claims hold over all arms and looks, and for what is not claimed over all arms at the last look alone.
    """

    reference: str
    leaders: tuple[str, ...]
    controls: Mapping[str, str] = field(default_factory=dict)
    baselines: tuple[str, ...] = ()
    reference_variants: int = 0
    direction: Direction = Direction.MINIMIZE
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
        return self.direction.sign

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
        return (len(self.arms) + self.reference_factor + self.reference_variants) * self.min_seeds

    @property
    def most_runs(self) -> int:
        """Runs of a confirmation in which every arm gets `max_seeds`."""
        return (len(self.arms) + self.reference_factor) * self.max_seeds + self.reference_variants * self.min_seeds

    def leading_runs(self, num_seeds: int) -> int:
        """Runs of a confirmation in which leaders, controls and reference get `num_seeds`, all else `min_seeds`."""
        leading = len(self.leaders) + len(self.controls) + self.reference_factor
        return self.least_runs + leading * (num_seeds - self.min_seeds)

    def seeds_of(self, arm: str, num_seeds: int) -> int:
        """Seeds of `arm` that a comparison at `num_seeds` seeds needs: of the reference, more."""
        return num_seeds * (self.reference_factor if arm == self.reference else 1)

    def seeds(self, arm: str) -> range:
        """The seeds that `arm` can get."""
        return range(self.first_seed, self.first_seed + self.seeds_of(arm, self.max_seeds))


@dataclass(frozen=True, kw_only=True)
class Relative:
    """A difference as a share of the other arm's mean: 0.1 is a tenth more than that.

    Attributes:
        value: the difference, divided by the mean.
        low, high: its interval, of the same meaning as that of the difference.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One arm against another.

    Attributes:
        num_seeds: seeds of the arm that are compared.
        difference: mean of the arm minus mean of the other, in units of the metric.  Of claims it is too large on
            average, since the lucky end early (simulated: by 36 % for a gain of 1 sd over seeds, by 3 % for 2 sd).
            Infinite where all runs of one of the two diverged, NaN where all of both did.
        low, high: interval of the difference, infinite where it has no bound.  Of a claimed one it holds at the level
            of the claim, over all looks, and leaves out 0.  Of any other it is corrected for the number of comparisons
            and not for looks, with which it would be too wide to tell anything of an arm that was given up early; so it
            can leave out 0 without a claim.
        relative: the same as a share of the other's mean; None where that mean is not above 0 beyond doubt, or the
            difference is larger than it.
        error: standard error of the difference; infinite where nothing varies.
        freedom: its degrees of freedom.
        level: at which it is tested, its share of the error probability.
        p_value: corrected for the number of comparisons and of looks.
        claimed: whether the difference is claimed to be real.
        better: whether the arm's mean is the better one.
        diverged: number of the arm's runs that diverged.
        against_seeds: seeds of the other arm that are compared.
        against_mean: its mean over them, with the same values for diverged runs as in the difference.
        against_diverged: how many of them diverged.
        chance: probability that the remaining seeds lead to the claim that the arm is better, as things look.
        chance_either: the same for better or worse.
    """

    num_seeds: int
    difference: float
    low: float
    high: float
    relative: Relative | None
    error: float
    freedom: float
    level: float
    p_value: float
    claimed: bool
    better: bool
    diverged: int
    against_seeds: int
    against_mean: float
    against_diverged: int
    chance: float
    chance_either: float

    @property
    def spread(self) -> float:
        """Standard deviation over seeds, of both arms together: that with which the error would be the same."""
        return self.error * math.sqrt(self.num_seeds / (1 + self.num_seeds / self.against_seeds))


def compare(plan: Plan, results: Results) -> dict[Contrast, Comparison]:
    """The comparisons of `plan` that have `min_seeds` seeds by now; runs missing in `results` have not ended."""
    columns = _columns(plan, results)
    ready = [contrast for contrast in plan.contrasts if seeds_compared(plan, results, contrast) >= plan.min_seeds]
    if not ready:
        return {}
    least = _least_variances(plan, columns)
    looks = {contrast: _Looks(plan, contrast, columns, least) for contrast in ready}
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


def _columns(plan: Plan, results: Results) -> dict[str, Array]:
    """Each arm's values in the order of the seeds."""
    columns = {}
    for arm in (plan.reference, *plan.arms):
        seeds = range(plan.first_seed, plan.first_seed + _in_a_row(plan, results, arm))
        columns[arm] = np.array([results[arm][seed] for seed in seeds], dtype=np.float64)
    return columns


def _filled(plan: Plan, a: Array, b: Array) -> tuple[Array, Array]:
    """Both arms' values, with the worst finite one of the two for those that are not finite."""
    gains = plan.sign * np.concatenate([a, b])
    worst = plan.sign * np.min(gains, where=np.isfinite(gains), initial=np.inf)
    worst = worst if np.isfinite(worst) else 0.0
    return np.where(np.isfinite(a), a, worst), np.where(np.isfinite(b), b, worst)


def _least_variances(plan: Plan, columns: Mapping[str, Array]) -> Array:
    """What an arm's variance is taken to be at least at n seeds, for n = 0 .. max_seeds: 0 but for few seeds."""
    least = np.zeros(plan.max_seeds + 1)
    for n in range(plan.min_seeds, min(_VARIANCE_MIN_SEEDS, plan.max_seeds + 1)):
        drawn = [column[: plan.seeds_of(arm, n)] for arm, column in columns.items() if len(column) >= n]
        finite = [values[np.isfinite(values)] for values in drawn]
        variances = [values.var(ddof=1) for values in finite if len(values) > 1]
        least[n] = np.median(variances) if variances else 0.0
    return least


class _Looks:
    """One comparison at each number of seeds from `min_seeds` to what there is: arrays over the looks."""

    def __init__(self, plan: Plan, contrast: Contrast, columns: Mapping[str, Array], least: Array) -> None:
        factor = plan.seeds_of(contrast.against, 1)
        last = min(len(columns[contrast.arm]), len(columns[contrast.against]) // factor)
        raw_a, raw_b = columns[contrast.arm][:last], columns[contrast.against][: last * factor]
        a, b = _filled(plan, raw_a, raw_b)
        n = np.arange(plan.min_seeds, last + 1)
        (mean_a, var_a), (mean_b, var_b) = Moments(a).at(n), Moments(b).at(n * factor)
        var_a, var_b = np.where(var_a > 0, var_a, var_b), np.where(var_b > 0, var_b, var_a)
        self.differences = mean_a - mean_b
        var_a_least, var_b_least = np.maximum(var_a, least[n]), np.maximum(var_b, least[n])
        self.errors, freedoms = welch(var_a_least, n, var_b_least, n * factor)
        self.means, self.against_means = mean_a, mean_b
        self.mean_variances, self.against_mean_variances = var_a_least / n, var_b_least / (n * factor)
        self.freedoms = np.minimum(freedoms, welch(var_a, n, var_b, n * factor)[1])
        self.errors = np.where(self.errors > 0, self.errors, np.inf)
        self.num_seeds, self.against_seeds = last, last * factor
        self.against_mean = float(b.mean())
        self.shares = n / plan.max_seeds
        self.sign = plan.sign
        self.diverged, self.against_diverged = (int((~np.isfinite(raw)).sum()) for raw in (raw_a, raw_b))
        #: 1: the arm diverged more often, so that it may only be called worse; -1: the other did.
        self.unsafe = 0
        if self.diverged or self.against_diverged:
            ours, theirs = (self.diverged, self.num_seeds), (self.against_diverged, self.against_seeds)
            self.unsafe = int(more_often(*ours, *theirs) < _MORE_OFTEN) - int(more_often(*theirs, *ours) < _MORE_OFTEN)
        scores = normal_score(self.sign * self.differences, self.errors, self.freedoms) * np.sqrt(self.shares)
        self.scores = np.where(scores * self.unsafe > 0, 0.0, scores)

    @property
    def peak(self) -> float:
        return float(np.abs(self.scores).max())

    def comparison(self, level: float, p_value: float, plain_level: float) -> Comparison:
        bound = sup_quantile(level)
        share, score = float(self.shares[-1]), float(self.scores[-1])
        claimed = self.peak >= bound
        difference = self._difference
        factors = self._factors_of_claim(bound) if claimed else self._factors(plain_level)
        low, high = self._shared(self.differences - factors * self.errors, self.differences + factors * self.errors)
        gain = self.scores[np.argmax(np.abs(self.scores))] if claimed else self.sign * difference
        low, high = self._bounded(low, high)
        return Comparison(
            num_seeds=self.num_seeds,
            difference=difference,
            low=low,
            high=high,
            relative=self._relative(factors, claimed=claimed),
            error=float(self.errors[-1]),
            freedom=float(self.freedoms[-1]),
            level=level,
            p_value=p_value,
            claimed=claimed,
            better=bool(gain > 0),
            diverged=self.diverged,
            against_seeds=self.against_seeds,
            against_mean=self.against_mean,
            against_diverged=self.against_diverged,
            chance=predictive_power(score, bound, share),
            chance_either=predictive_power(abs(score), bound, share),
        )

    @property
    def _difference(self) -> float:
        ours, theirs = self.diverged == self.num_seeds, self.against_diverged == self.against_seeds
        if ours or theirs:
            return math.nan if ours and theirs else self.sign * math.inf * (1 if theirs else -1)
        return float(self.differences[-1])

    def _factors_of_claim(self, bound: float) -> Array:
        """Standard errors from the mean to the bounds at each look, whose intervals hold all at once (repeated
        confidence intervals, Jennison & Turnbull 1989)."""
        factors: Array = -stdtrit(self.freedoms, np.maximum(ndtr(-bound / np.sqrt(self.shares)), 1e-300))
        return factors

    def _factors(self, level: float) -> Array:
        """The same of the last look alone: those before it bound nothing."""
        factors = np.full(len(self.shares), np.inf)
        factors[-1] = stdtrit(self.freedoms[-1], 1 - level / 2)
        return factors

    def _shared(self, lows: Array, highs: Array) -> tuple[float, float]:
        """The part that the intervals of all looks share."""
        if lows.max() > highs.min():  # Looks that contradict each other: the latest speaks.
            return float(lows[-1]), float(highs[-1])
        return float(lows.max()), float(highs.min())

    def _bounded(self, low: float, high: float) -> tuple[float, float]:
        """An interval without the bounds that runs which diverged do not allow."""
        sized = math.isfinite(self._difference)
        return (
            low if sized and self.unsafe * self.sign <= 0 else -math.inf,
            high if sized and self.unsafe * self.sign >= 0 else math.inf,
        )

    def _relative(self, factors: Array, *, claimed: bool) -> Relative | None:
        difference, mean = self._difference, self.against_mean
        if not (math.isfinite(difference) and mean > 0 and abs(difference) <= mean and math.isfinite(self.errors[-1])):
            return None
        ours, theirs = (self.means, self.mean_variances), (self.against_means, self.against_mean_variances)
        low, high = self._shared(*fieller(*ours, *theirs, factors))
        low, high = self._bounded(low - 1, high - 1)
        if (math.isinf(low) and math.isinf(high)) or (claimed and low <= 0 <= high):
            return None
        return Relative(value=difference / mean, low=low, high=high)
