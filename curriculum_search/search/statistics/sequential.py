"""Statistics that stay valid when one looks at the results again and again: small pure functions over float64 arrays.

A comparison with n of at most N seeds has the share t = n / N of its information.  z sqrt(t), z the normal score of its
p-value, moves like a Brownian motion B(t), so that deciding once |z| sqrt(t) has exceeded c with P(sup |B| > c) = alpha
keeps the error at alpha whatever the looks (O'Brien & Fleming 1979, in continuous time).
"""

import functools
import math
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr

Array = NDArray[np.float64]
K = TypeVar("K")


class Moments:
    """Mean and variance of the first n values of a sequence, for any n."""

    def __init__(self, values: Array) -> None:
        self._shift = float(values[0]) if len(values) else 0.0
        centred = values - self._shift
        self._sums, self._squares = centred.cumsum(), (centred * centred).cumsum()

    def at(self, counts: NDArray[np.int64]) -> tuple[Array, Array]:
        """Mean and unbiased variance of the first n values, for each n of `counts` (all at least 2)."""
        means = self._sums[counts - 1] / counts
        variances = np.maximum(self._squares[counts - 1] - counts * means * means, 0.0) / (counts - 1)
        return means + self._shift, variances


def welch(var_a: Array, n_a: NDArray[np.int64], var_b: Array, n_b: NDArray[np.int64]) -> tuple[Array, Array]:
    """Standard error of the difference of two means, and its degrees of freedom (Welch 1947)."""
    a, b = var_a / n_a, var_b / n_b
    spread = a**2 / (n_a - 1) + b**2 / (n_b - 1)
    freedoms = np.divide((a + b) ** 2, spread, out=(n_a + n_b - 2).astype(np.float64), where=spread > 0)
    return np.sqrt(a + b), freedoms


def fieller(mean_a: Array, var_a: Array, mean_b: Array, var_b: Array, factors: Array) -> tuple[Array, Array]:
    """Bounds of mean_a / mean_b (Fieller 1954): the ratios r at which |a - r b| is at most `factors` standard errors.

    Args:
        mean_a, mean_b: independent means.
        var_a, var_b: their variances, the squared standard errors.
        factors: standard errors from a difference to its bounds.

    Returns:
        Lower and upper bounds, infinite where b itself is within `factors` standard errors of 0: then any ratio may be.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio, doubt = mean_a / mean_b, factors**2 * var_b / mean_b**2
        inner = np.maximum(var_a * (1 - doubt) + ratio**2 * var_b, 0.0)
        width = factors / np.abs(mean_b) * np.sqrt(inner)
        known = (doubt < 1) & np.isfinite(factors)
        low = np.where(known, (ratio - width) / (1 - doubt), -np.inf)
        high = np.where(known, (ratio + width) / (1 - doubt), np.inf)
    return low, high


def normal_score(differences: Array, errors: Array, freedoms: Array) -> Array:
    """The z with the tail that t = difference / error has, with the sign of the difference; |z| is at most 37."""
    ratio = np.divide(np.abs(differences), errors, out=np.where(differences == 0, 0.0, np.inf), where=errors > 0)
    score: Array = np.copysign(-ndtri(np.clip(stdtr(freedoms, -ratio), 1e-300, 0.5)), differences)
    return score


def sup_tail(c: float) -> float:
    """P(sup over t in [0, 1] of |B(t)| > c) for a Brownian motion B, by reflection: 4 sum_k (-1)^k Q((2k + 1) c)."""
    if c < 0.3:
        return 1.0
    return float(4 * sum((-1) ** k * ndtr(-(2 * k + 1) * c) for k in range(12)))


@functools.lru_cache(maxsize=4096)
def sup_quantile(alpha: float) -> float:
    """The c with `sup_tail(c)` = alpha, for alpha in (0, 1)."""
    low, high = 0.3, 40.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if sup_tail(middle) > alpha else (low, middle)
    return high


def more_often(failures_a: int, n_a: int, failures_b: int, n_b: int) -> float:
    """P-value of a having more failures than b by chance (Fisher's exact test, one-sided)."""
    failures = failures_a + failures_b
    most = min(failures, n_a)
    ways = sum(math.comb(n_a, k) * math.comb(n_b, failures - k) for k in range(failures_a, most + 1))
    return ways / math.comb(n_a + n_b, failures)


def predictive_power(score: float, bound: float, share: float) -> float:
    """Probability that z sqrt(t), now `score` at t = `share`, ends above `bound`, with a flat prior of the drift."""
    if share >= 1:
        return float(score >= bound)
    return float(ndtr((score / share - bound) / math.sqrt((1 - share) / share)))


def weighted_holm(
    p_values: Mapping[K, float], weights: Mapping[K, float], alpha: float
) -> dict[K, tuple[float, float]]:
    """Holm's correction with weights (Holm 1979): a rejected hypothesis passes its share of alpha on to the others.

    Args:
        p_values: by hypothesis.
        weights: positive, by hypothesis, those included that have no p-value yet.
        alpha: probability that any true hypothesis is rejected.

    Returns:
        For each hypothesis its level and its corrected p-value; it is rejected if its p-value is at most its level, or,
        which is the same, its corrected p-value at most `alpha`.
    """
    ordered = sorted(p_values, key=lambda key: p_values[key] / weights[key])
    waiting = sum(weight for key, weight in weights.items() if key not in p_values)
    corrected, level_left = 0.0, 1.0
    outcome = {}
    for position, key in enumerate(ordered):
        left = waiting + sum(weights[other] for other in ordered[position:])
        corrected_before, corrected = corrected, max(corrected, min(1.0, p_values[key] * left / weights[key]))
        if corrected_before <= alpha:
            level_left = left
        outcome[key] = (min(alpha, alpha * weights[key] / level_left), corrected)
    return outcome
