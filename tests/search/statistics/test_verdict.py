"""Confirmation: what is claimed, who gets seeds, what the sentence says."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from curriculum_search.search.statistics.comparison import Contrast, Plan, compare
from curriculum_search.search.statistics.verdict import allocate, judge, sooner

PLAN = Plan(
    reference="none",
    leaders=("A",),
    controls={"A": "A / exposure"},
    baselines=("published", "reversed"),
    max_seeds=10,
)
FLAT = {"none": 9.0, "A": 9.0, "A / exposure": 9.0, "published": 9.0, "reversed": 9.0}
NOISE = {"none": 2.0, "A": 0.8, "A / exposure": 1.0, "published": 1.3, "reversed": 6.5}
A_NONE = Contrast(arm="A", against="none")


def confirm(
    plan: Plan, means: Mapping[str, float], noise: Mapping[str, float], seed: int, *, common: float = 0.0
) -> dict[str, dict[int, float]]:
    """A whole confirmation on simulated values."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(60)
    own = {arm: math.sqrt(common) * shared + math.sqrt(1 - common) * rng.standard_normal(60) for arm in means}
    results: dict[str, dict[int, float]] = {arm: {} for arm in means}
    while runs := allocate(plan, results):
        for arm, number in runs:
            results[arm][number] = means[arm] + noise[arm] * own[arm][number]
    return results


def full(plan: Plan, means: Mapping[str, float], noise: float = 1.0, seed: int = 0) -> dict[str, dict[int, float]]:
    rng = np.random.default_rng(seed)
    return {
        arm: {i: mean + noise * rng.standard_normal() for i in range(plan.seeds_of(arm, plan.max_seeds))}
        for arm, mean in means.items()
    }


def test_where_nothing_differs_at_most_one_study_in_twenty_claims_that_something_does() -> None:
    claims = [any(c.claimed for c in compare(PLAN, confirm(PLAN, FLAT, NOISE, seed)).values()) for seed in range(300)]
    assert sum(claims) <= 15


def test_a_gain_of_two_standard_deviations_is_found_nine_times_in_ten() -> None:
    noise = dict.fromkeys(FLAT, 2.0)
    found = [compare(PLAN, confirm(PLAN, FLAT | {"A": 5.0}, noise, seed))[A_NONE] for seed in range(60)]
    assert sum(c.claimed and c.better for c in found) >= 54


def test_intervals_hold_the_truth_and_leave_out_zero_exactly_where_a_difference_is_claimed() -> None:
    truth = FLAT | {"A": 6.0, "A / exposure": 7.0, "reversed": 15.0}
    right = 0
    for seed in range(100):
        comparisons = compare(PLAN, confirm(PLAN, truth, NOISE, seed))
        for c in comparisons.values():
            assert c.claimed == (not c.low <= 0 <= c.high) == (c.p_value <= 0.05)
        right += all(c.low <= truth[k.arm] - truth[k.against] <= c.high for k, c in comparisons.items())
    assert right >= 95


def test_a_metric_that_is_maximised_gives_the_mirrored_verdict() -> None:
    results = full(PLAN, FLAT | {"A": 5.0, "reversed": 14.0})
    mirrored = {arm: {seed: -value for seed, value in values.items()} for arm, values in results.items()}
    ups = compare(replace(PLAN, direction="maximize"), mirrored)
    for contrast, down in compare(PLAN, results).items():
        up = ups[contrast]
        assert (up.claimed, up.better, up.p_value) == (down.claimed, down.better, pytest.approx(down.p_value))
        assert (up.low, up.high) == pytest.approx((-down.high, -down.low))


def test_every_arm_gets_its_least_seeds_and_the_reference_twice_as_many() -> None:
    runs = allocate(PLAN, {})
    assert len(runs) == PLAN.least_runs == (4 + 2) * 4
    assert sum(arm == "none" for arm, _ in runs) == 8


def test_seeds_go_to_what_is_undecided_and_hopeless_arms_get_no_more() -> None:
    means = FLAT | {"A": 7.9, "reversed": 18.0}
    results = {arm: {s: v for s, v in values.items() if s < 8} for arm, values in full(PLAN, means).items()}
    for arm in PLAN.arms:
        results[arm] = {s: v for s, v in results[arm].items() if s < 4}
    assert not compare(PLAN, results)[A_NONE].claimed
    arms = {arm for arm, _ in allocate(PLAN, results)}
    assert {"A", "none"} <= arms
    assert "reversed" not in arms


def test_a_found_leader_and_its_control_go_on_until_the_order_is_clear() -> None:
    plan = replace(PLAN, max_seeds=20)
    results = confirm(plan, FLAT | {"A": 4.0, "A / exposure": 5.5}, dict.fromkeys(FLAT, 1.0), seed=1)
    order = compare(plan, results)[Contrast(arm="A", against="A / exposure")]
    assert len(results["A"]) == len(results["A / exposure"]) > len(results["published"])
    assert order.claimed
    assert order.better


def test_the_budget_is_kept_and_never_spent_on_a_look_that_cannot_be_finished() -> None:
    assert len(allocate(PLAN, {}, runs_left=13)) == 12  # the reference with 8 and one arm with 4
    assert allocate(PLAN, {}, runs_left=11) == []
    results = {
        arm: {s: v for s, v in values.items() if s < 4 * (1 + (arm == "none"))}
        for arm, values in full(PLAN, FLAT | {"A": 8.0}).items()
    }
    assert len(allocate(PLAN, results, runs_left=3)) == 3
    assert allocate(PLAN, results, runs_left=2) == []


def test_room_for_more_runs_at_once_is_used() -> None:
    results = {
        arm: {s: v for s, v in values.items() if s < 4 * (1 + (arm == "none"))}
        for arm, values in full(PLAN, FLAT | {"A": 8.0}).items()
    }
    one, many = allocate(PLAN, results), allocate(PLAN, results, concurrency=8)
    assert len(one) < 8 <= len(many)


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


def test_seeds_are_paired_only_where_arms_are_correlated_over_them() -> None:
    plan = replace(PLAN, max_seeds=16)
    means, noise = FLAT | {"A": 8.0}, dict.fromkeys(FLAT, 2.0)
    apart = [compare(plan, full(plan, means, 2.0, seed))[A_NONE].paired for seed in range(60)]
    rng = np.random.default_rng(0)
    together = []
    for _ in range(20):
        shared = 2 * math.sqrt(0.95) * rng.standard_normal(32)
        results = {
            arm: {
                i: mean + shared[i] + noise[arm] * math.sqrt(0.05) * rng.standard_normal()
                for i in range(plan.seeds_of(arm, 16))
            }
            for arm, mean in means.items()
        }
        together.append(compare(plan, results)[A_NONE])
    assert sum(apart) <= 2
    assert all(c.paired for c in together)
    assert sum(c.claimed and c.better for c in together) >= 18


def test_a_diverged_run_counts_as_the_worst_and_is_named() -> None:
    results = full(PLAN, FLAT | {"A": 5.0})
    before = compare(PLAN, results)[A_NONE]
    results["A"][9] = math.nan
    after = judge(PLAN, results, metric="fd").main
    assert after is not None
    assert after.diverged == 1
    assert after.difference > before.difference
    assert after.claimed
    assert "of which 1 diverged" in judge(PLAN, results, metric="fd").sentence


def test_an_arm_that_diverges_more_often_is_not_called_better_however_good_its_other_runs_are() -> None:
    results = full(PLAN, FLAT | {"A": 2.0}, noise=0.5)
    for seed in (1, 4, 8):
        results["A"][seed] = math.inf
    lucky = compare(PLAN, results)[A_NONE]
    assert not lucky.claimed
    assert lucky.high == math.inf


def test_an_arm_whose_runs_all_diverge_is_worse() -> None:
    results = full(PLAN, FLAT)
    results["A"] = dict.fromkeys(results["A"], math.nan)
    outcome = compare(PLAN, results)[A_NONE]
    assert outcome.claimed
    assert not outcome.better


def test_the_sentence_says_what_is_order_and_what_exposure() -> None:
    results = full(PLAN, FLAT | {"A": 4.0, "A / exposure": 6.5}, noise=0.7)
    other = full(PLAN, FLAT | {"A": 12.0}, noise=0.7, seed=1)
    verdict = judge(PLAN, results, metric="pca64", others={"eff64": other, "pca32": results})
    assert verdict.separable
    assert verdict.order is not None
    assert verdict.exposure is not None
    assert verdict.main is not None
    assert verdict.main.difference == pytest.approx(
        verdict.order.difference + verdict.exposure.difference, abs=0.6
    )  # the reference's further seeds count only once
    assert verdict.others["eff64"][1] == "contradicts"
    assert verdict.others["pca32"][1] == "agrees"
    for words in ("A is better than none by", "in pca64", "confidence", "exposure alone is", "the order on top of it"):
        assert words in verdict.sentence


def test_where_nothing_is_found_the_sentence_says_so() -> None:
    verdict = judge(PLAN, full(PLAN, FLAT, seed=3), metric="pca64")
    assert not verdict.separable
    assert verdict.sentence.startswith("A is not separable from none: ")
    assert judge(PLAN, {}, metric="pca64").arm is None


def test_an_arm_reaches_the_references_end_sooner_by_the_ratio_of_images() -> None:
    images = [100, 200, 300, 400]
    curves = {
        "none": {0: (images, [9.0, 7.0, 6.0, 5.0]), 1: (images, [9.0, 7.0, 6.0, 5.0])},
        "A": {0: (images, [8.0, 5.5, 4.5, 4.0]), 1: (images, [8.0, 5.5, 4.5, 4.0])},
        "reversed": {0: (images, [4.0, 8.0, 7.0, 6.0])},
    }
    speed = sooner(PLAN, curves, "A")
    assert speed is not None
    assert speed.ratio == speed.low == speed.high == pytest.approx(400 / 250)
    late = sooner(PLAN, curves, "reversed")
    assert late is not None
    assert late.ratio == 0
    assert sooner(PLAN, curves, "published") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_seeds": 1}, r"min_seeds must be in \[2, max_seeds = 10\], not 1"),
        ({"confidence": 1.0}, "confidence must be in"),
        ({"controls": {"B": "B / exposure"}}, "controls must belong to leaders, not to B"),
        ({"baselines": ("A",)}, "arms must have different names"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **changes)  # type: ignore[arg-type]
