"""The statistics under the verdict, beside independent computations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from curriculum_search.search.statistics.sequential import (
    Moments,
    more_often,
    normal_score,
    predictive_power,
    sup_quantile,
    sup_tail,
    weighted_holm,
    welch,
)


def test_welch_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 7), rng.normal(0, 4, 12)
    n_a, n_b = np.array([7]), np.array([12])
    (mean_a, var_a), (mean_b, var_b) = Moments(a).at(n_a), Moments(b).at(n_b)
    errors, freedoms = welch(var_a, n_a, var_b, n_b)
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert freedoms[0] == pytest.approx(expected.df)
    score = normal_score(mean_a - mean_b, errors, freedoms)[0]
    assert 2 * stats.norm.sf(abs(score)) == pytest.approx(expected.pvalue)


def test_moments_of_every_prefix_agree_with_numpy_on_values_far_from_zero() -> None:
    values = 1e6 + np.random.default_rng(1).normal(size=20)
    counts = np.arange(2, 21)
    means, variances = Moments(values).at(counts)
    assert means == pytest.approx([values[:n].mean() for n in counts])
    assert variances == pytest.approx([values[:n].var(ddof=1) for n in counts], rel=1e-6)


def test_equal_values_have_no_score_and_a_difference_without_noise_has_the_largest() -> None:
    zero, two = np.zeros(2), np.array([4.0, 4.0])
    assert normal_score(np.array([0.0, -1.0]), zero, two).tolist() == pytest.approx([0.0, -37.05], abs=0.1)


def test_the_tail_of_the_supremum_is_that_of_a_simulated_brownian_motion() -> None:
    rng = np.random.default_rng(2)
    steps = 2000
    paths = np.cumsum(rng.standard_normal((4000, steps)) / np.sqrt(steps), axis=1)
    peaks = np.abs(paths).max(axis=1)
    for c in (0.8, 1.5, 2.2):
        assert (peaks > c).mean() == pytest.approx(sup_tail(c), abs=0.03)
    assert sup_quantile(0.05) == pytest.approx(2.2414, abs=1e-4)


@given(st.floats(1e-6, 0.9))
def test_the_quantile_of_the_supremum_inverts_its_tail(alpha: float) -> None:
    assert sup_tail(sup_quantile(alpha)) == pytest.approx(alpha, rel=1e-3)


def test_holm_without_weights_is_holms() -> None:
    p_values = {"a": 0.01, "b": 0.04, "c": 0.015, "d": 0.9}
    outcome = weighted_holm(p_values, dict.fromkeys(p_values, 0.25), 0.05)
    assert {key: corrected for key, (_, corrected) in outcome.items()} == pytest.approx(
        {"a": 0.04, "c": 0.045, "b": 0.08, "d": 0.9}
    )
    assert outcome["b"][0] == pytest.approx(0.025)


@given(
    st.lists(st.tuples(st.floats(1e-9, 1), st.floats(0.01, 1)), min_size=1, max_size=6),
    st.integers(0, 2),
)
def test_holm_rejects_by_level_exactly_when_it_rejects_by_corrected_p_value(
    hypotheses: list[tuple[float, float]], waiting: int
) -> None:
    total = sum(weight for _, weight in hypotheses) + waiting
    weights: dict[int | str, float] = {i: weight / total for i, (_, weight) in enumerate(hypotheses)}
    weights |= {f"waiting {i}": 1 / total for i in range(waiting)}
    p_values: dict[int | str, float] = {i: p for i, (p, _) in enumerate(hypotheses)}
    for key, (level, corrected) in weighted_holm(p_values, weights, 0.05).items():
        if abs(corrected - 0.05) > 1e-9:
            assert (p_values[key] <= level) == (corrected <= 0.05)


def test_divergence_is_compared_by_fishers_exact_test() -> None:
    for a, n_a, b, n_b in ((3, 12, 0, 24), (1, 4, 2, 8), (0, 5, 3, 5), (5, 5, 0, 10)):
        expected = stats.fisher_exact([[a, n_a - a], [b, n_b - b]], alternative="greater").pvalue
        assert more_often(a, n_a, b, n_b) == pytest.approx(expected)


def test_predictive_power_is_the_share_of_simulated_continuations_that_cross() -> None:
    rng = np.random.default_rng(3)
    share, score, bound = 0.4, 1.1, 2.2
    drift = rng.normal(score / share, 1 / np.sqrt(share), 200_000)
    ends = score + drift * (1 - share) + rng.normal(0, np.sqrt(1 - share), 200_000)
    assert predictive_power(score, bound, share) == pytest.approx((ends > bound).mean(), abs=0.005)
    assert predictive_power(2.3, bound, 1.0) == 1.0
