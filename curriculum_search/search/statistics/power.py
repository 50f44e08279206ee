"""What more seeds would show: the chance that a comparison of n seeds finds a difference of a given size.

`benchmarks/calibration.py` prints these chances beside how often simulated studies found what was there.
"""

import math

from scipy.special import nctdtr, ndtr, stdtrit

from curriculum_search.search.statistics.comparison import Comparison
from curriculum_search.search.statistics.sequential import sup_quantile

CHANCE = 0.8  #: with which what is there is to be found
MOST_SEEDS = 100  #: of an arm; what would take more is not planned for
_SURE = 8.0  # standard errors above the bound


def power(shift: float, *, level: float, freedom: float, share: float = 1.0) -> float:
    """Probability that a comparison finds a true difference by its last look, in the direction that it has.

    It is that of the last look alone, the tail of the non-central t-distribution.  Earlier looks find a little more,
    and arms that are given up a little less: in simulated studies the two leave it right to within 5 points.

    Args:
        shift: the difference in standard errors at the last look, at least 0.
        level: of the test, over all looks.
        freedom: degrees of freedom at the last look.
        share: seeds at the last look as a share of those that were planned: below 1 for an arm that was given up.
    """
    critical = -float(stdtrit(freedom, ndtr(-sup_quantile(level) / math.sqrt(share))))
    if shift > critical + _SURE:  # where scipy's tail is no number
        return 1.0
    return 1.0 - float(nctdtr(freedom, shift, critical))


def power_at(comparison: Comparison, difference: float, num_seeds: int, *, share: float = 1.0) -> float:
    """`power` of a comparison that goes on to `num_seeds` seeds with the spread that it has by now."""
    grown = num_seeds / comparison.num_seeds
    freedom = comparison.freedom * max(num_seeds - 1, 1) / max(comparison.num_seeds - 1, 1)
    shift = abs(difference) / comparison.error * math.sqrt(grown)
    return power(shift, level=comparison.level, freedom=freedom, share=share)


def seeds_needed(comparison: Comparison, difference: float) -> int | None:
    """The seeds of an arm with which a true difference would be found with probability `CHANCE`.

    None where they would be more than `MOST_SEEDS`, or where nothing varies, so that it cannot be told.
    """
    if not (math.isfinite(difference) and math.isfinite(comparison.error)):
        return None
    seeds = range(2, MOST_SEEDS + 1)
    return next((n for n in seeds if power_at(comparison, difference, n) >= CHANCE), None)


def separable(comparison: Comparison, num_seeds: int, *, chance: float = CHANCE, share: float = 1.0) -> float:
    """The least true difference that `num_seeds` seeds find with probability `chance`, in units of the metric.

    Args:
        comparison: what is known by now.
        num_seeds: of its arm.
        chance: with which the difference is to be found.
        share: these seeds as a share of those that were planned.
    """
    low, high = 0.0, 100 * comparison.error
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        found = power_at(comparison, middle, num_seeds, share=share) >= chance
        low, high = (low, middle) if found else (middle, high)
    return high
