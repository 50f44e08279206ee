"""What is claimed of arms, and what is not, on simulated values."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from support.confirmations import A_NONE, FLAT, NOISE, PLAN, confirm, full

from curriculum_search.direction import Direction
from curriculum_search.search.statistics.comparison import Contrast, Plan, Relative, compare
from curriculum_search.search.statistics.verdict import allocate


def test_where_nothing_differs_at_most_one_study_in_twenty_claims_that_something_does() -> None:
    claims = [any(c.claimed for c in compare(PLAN, confirm(PLAN, FLAT, NOISE, seed)).values()) for seed in range(300)]
    assert sum(claims) <= 15


def test_a_gain_of_two_standard_deviations_is_found_nine_times_in_ten() -> None:
    noise = dict.fromkeys(FLAT, 2.0)
    found = [compare(PLAN, confirm(PLAN, FLAT | {"A": 5.0}, noise, seed))[A_NONE] for seed in range(60)]
    assert sum(c.claimed and c.better for c in found) >= 54


def claims_something(plan: Plan, spreads: Mapping[str, float], seed: int, *, step: float = 0.0) -> bool:
    """Whether a study in which nothing differs claims something, with values rounded to `step`."""
    noise = {arm: spreads.get(arm, 1.0) for arm in FLAT}
    rng = np.random.default_rng(seed)
    draws = {arm: 9 + noise[arm] * rng.standard_normal(plan.seeds_of(arm, plan.max_seeds)) for arm in FLAT}
    if step:
        draws = {arm: np.round(values / step) * step for arm, values in draws.items()}
    results: dict[str, dict[int, float]] = {arm: {} for arm in FLAT}
    while runs := allocate(plan, results):
        for arm, number in runs:
            results[arm][number] = draws[arm][number]
    return any(c.claimed for c in compare(plan, results).values())


@pytest.mark.parametrize(
    ("least", "most", "spreads", "step"),
    [(2, 2, {"none": 0.1}, 0.0), (3, 3, {"none": 0.3}, 0.0), (2, 8, {}, 2.0)],
)
def test_few_seeds_a_calm_reference_and_rounded_values_bring_no_claims(
    least: int, most: int, spreads: dict[str, float], step: float
) -> None:
    plan = replace(PLAN, min_seeds=least, max_seeds=most)
    assert sum(claims_something(plan, spreads, seed, step=step) for seed in range(300)) <= 12


def test_three_seeds_still_find_a_large_gain() -> None:
    plan = replace(PLAN, min_seeds=3, max_seeds=3)
    found = [compare(plan, full(plan, FLAT | {"A": 5.0}, seed=seed))[A_NONE] for seed in range(60)]
    assert sum(c.claimed and c.better for c in found) >= 40


def test_intervals_hold_the_truth_and_leave_out_zero_where_a_difference_is_claimed() -> None:
    truth = FLAT | {"A": 6.0, "A / exposure": 7.0, "reversed": 15.0}
    right = 0
    for seed in range(100):
        comparisons = compare(PLAN, confirm(PLAN, truth, NOISE, seed))
        for c in comparisons.values():
            assert c.claimed == (c.p_value <= 0.05)
            if c.claimed:
                assert not c.low <= 0 <= c.high
            else:
                assert c.high - c.difference == pytest.approx(c.difference - c.low)
        right += all(c.low <= truth[k.arm] - truth[k.against] <= c.high for k, c in comparisons.items())
    assert right >= 95


def test_a_metric_that_is_maximised_gives_the_mirrored_verdict() -> None:
    results = full(PLAN, FLAT | {"A": 5.0, "reversed": 14.0})
    mirrored = {arm: {seed: -value for seed, value in values.items()} for arm, values in results.items()}
    ups = compare(replace(PLAN, direction=Direction.MAXIMIZE), mirrored)
    for contrast, down in compare(PLAN, results).items():
        up = ups[contrast]
        assert (up.claimed, up.better) == (down.claimed, down.better)
        assert up.p_value == pytest.approx(down.p_value)
        assert (up.low, up.high) == pytest.approx((-down.high, -down.low))


def test_looking_again_after_more_seeds_does_not_take_a_claim_back() -> None:
    results = full(PLAN, FLAT | {"A": 6.0})
    claimed = False
    for n in range(4, 11):
        part = {a: {s: v for s, v in values.items() if s < PLAN.seeds_of(a, n)} for a, values in results.items()}
        now = compare(PLAN, part)[A_NONE].claimed
        assert now or not claimed
        claimed = now
    assert claimed


def test_a_seed_that_is_missing_ends_what_is_compared() -> None:
    results = full(PLAN, FLAT)
    del results["A"][5]
    assert compare(PLAN, results)[A_NONE].num_seeds == 5
    del results["A"][2]
    assert A_NONE not in compare(PLAN, results)


def test_arms_that_are_correlated_over_the_seeds_bring_no_claims_and_hide_no_gain() -> None:
    flat = [compare(PLAN, confirm(PLAN, FLAT, NOISE, seed, common=0.7)).values() for seed in range(300)]
    assert sum(any(c.claimed for c in comparisons) for comparisons in flat) <= 9
    noise, better = dict.fromkeys(FLAT, 2.0), FLAT | {"A": 5.0}
    found = [compare(PLAN, confirm(PLAN, better, noise, seed, common=0.7))[A_NONE] for seed in range(60)]
    assert sum(c.claimed and c.better for c in found) >= 54


def test_a_terrible_arm_changes_no_comparison_of_others() -> None:
    results = full(PLAN, FLAT | {"A": 5.0})
    results["A"][9] = results["none"][4] = math.nan
    before = compare(PLAN, results)
    after = compare(PLAN, results | {"reversed": {seed: 400.0 + seed for seed in results["reversed"]}})
    for contrast in (A_NONE, Contrast(arm="A", against="A / exposure")):
        assert (after[contrast].difference, after[contrast].chance) == (
            before[contrast].difference,
            before[contrast].chance,
        )


def test_an_arm_that_diverges_more_often_is_not_called_better_however_good_its_other_runs_are() -> None:
    results = full(PLAN, FLAT | {"A": 2.0}, noise=0.5)
    for seed in (1, 4, 8):
        results["A"][seed] = math.inf
    lucky = compare(PLAN, results)[A_NONE]
    assert not lucky.claimed
    assert lucky.high == math.inf


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(PLAN, min_seeds=1), r"min_seeds must be in \[2, max_seeds = 10\], not 1"),
        (lambda: replace(PLAN, confidence=1.0), "confidence must be in"),
        (lambda: replace(PLAN, controls={"B": "B / exposure"}), "controls must belong to leaders, not to B"),
        (lambda: replace(PLAN, baselines=("A",)), "arms must have different names"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(make: Callable[[], Plan], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("ratio", [0.25, 1.5])
def test_the_interval_of_the_share_holds_the_truth_as_often_as_it_says(ratio: float) -> None:
    """Dividing the difference's bounds by an uncertain mean would hold it too often of a gain, too seldom of a loss."""
    plan = Plan(reference="none", leaders=("A",), min_seeds=6, max_seeds=6, confidence=0.9)
    right = scaled = told = 0
    for seed in range(800):
        results = full(plan, {"none": 4.0, "A": 4.0 * ratio}, noise=1.5, seed=seed)
        comparison = compare(plan, results)[A_NONE]
        if (share := comparison.relative) is not None:
            told += 1
            right += share.low <= ratio - 1 <= share.high
            scaled += comparison.low <= (ratio - 1) * comparison.against_mean <= comparison.high
    assert 0.9 <= right / told < 0.96
    assert scaled / told < right / told - 0.03 if ratio > 1 else scaled / told > right / told + 0.03


def test_there_is_no_share_of_a_mean_that_may_be_zero_or_is_below_it() -> None:
    plan = Plan(reference="none", leaders=("A",), max_seeds=8)

    def share(none: float, ours: float) -> Relative | None:
        return compare(plan, full(plan, {"none": none, "A": ours}))[A_NONE].relative

    assert share(9.0, 4.0) is not None
    assert share(0.3, 0.0) is None
    assert share(-9.0, -4.0) is None
    assert share(9.0, 40.0) is None  # more than the mean itself: a size says more
