"""The verdict: who gets seeds, and what is found of whom; how it is put is tested in `results/test_words.py`."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support.confirmations import A_NONE, FLAT, PLAN, confirm, full

from curriculum_search.search.statistics.comparison import Contrast, compare
from curriculum_search.search.statistics.verdict import allocate, judge, sooner


def test_where_the_seeds_change_nothing_nothing_is_claimed() -> None:
    results = full(PLAN, FLAT | {"A": 8.999999999}, noise=0.0)
    verdict = judge(PLAN, results, metric="fd")
    assert verdict.main is not None
    assert not verdict.main.claimed
    assert verdict.main.relative is None


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


def test_a_diverged_run_counts_as_the_worst_of_the_two_arms() -> None:
    results = full(PLAN, FLAT | {"A": 5.0})
    before = compare(PLAN, results)[A_NONE]
    results["A"][9] = math.nan
    after = compare(PLAN, results)[A_NONE]
    assert (after.diverged, after.against_diverged) == (1, 0)
    worst = max(*results["none"].values(), *list(results["A"].values())[:9])
    shift = worst - full(PLAN, FLAT | {"A": 5.0})["A"][9]
    assert after.difference == pytest.approx(before.difference + shift / 10)
    assert after.claimed


def test_the_share_is_of_the_mean_that_the_difference_is_taken_from() -> None:
    results = full(PLAN, FLAT | {"A": 5.0})
    for seed in range(4):
        results["none"][seed] = math.nan
    main = judge(PLAN, results, metric="fd").main
    values = [value for value in results["none"].values() if math.isfinite(value)]
    mean = np.mean([*values, *[max(values)] * 4])
    assert main is not None
    assert main.relative is not None
    assert main.relative.value == pytest.approx(main.difference / mean)


def test_where_all_runs_of_an_arm_diverge_no_size_is_told() -> None:
    results = full(PLAN, FLAT)
    lost = {arm: dict.fromkeys(values, math.nan) for arm, values in results.items()}
    ours = judge(PLAN, results | {"A": lost["A"]}, metric="fd")
    theirs = judge(PLAN, results | {"none": lost["none"]}, metric="fd")
    both = judge(PLAN, lost, metric="fd")
    for verdict, difference in ((ours, math.inf), (theirs, -math.inf), (both, math.nan)):
        assert verdict.main is not None
        assert verdict.main.difference == pytest.approx(difference, nan_ok=True)
        assert verdict.main.relative is None


def test_a_leader_that_trains_goes_before_one_all_of_whose_runs_diverged() -> None:
    plan = replace(PLAN, leaders=("A", "B"), controls={})
    results = full(plan, {"none": 9.0, "A": 9.0, "B": 9.0, "published": 9.0, "reversed": 9.0})
    for arm in ("none", "A"):
        results[arm] = dict.fromkeys(results[arm], math.nan)
    verdict = judge(plan, results, metric="fd")
    assert verdict.arm == "B"
    other = verdict.leaders["A"]
    assert other is not None
    assert math.isnan(other.difference)


def test_the_gain_is_that_of_the_order_and_that_of_the_exposure() -> None:
    results = full(PLAN, FLAT | {"A": 4.0, "A / exposure": 6.5}, noise=0.7)
    verdict = judge(PLAN, results, metric="pca64")
    assert verdict.order is not None
    assert verdict.exposure is not None
    assert verdict.main is not None
    assert verdict.main.claimed
    assert verdict.main.difference == pytest.approx(
        verdict.order.difference + verdict.exposure.difference, abs=0.6
    )  # the reference's further seeds count only once


def test_the_control_does_as_well_where_it_is_no_worse_or_found_while_the_order_is_not() -> None:
    def control(leader: float, control: float) -> str | None:
        return judge(PLAN, full(PLAN, FLAT | {"A": leader, "A / exposure": control}), metric="fd").control

    assert control(7.0, 7.3) == "A / exposure"  # both found, and not told apart
    assert control(7.0, 5.0) is None  # The verdict is about the control itself.
    assert control(6.0, 9.0) is None  # The order is found to help.
    assert control(8.7, 8.0) == "A / exposure"  # Nothing is found, and it is ahead of the leader.
    lost = full(PLAN, FLAT | {"A": 6.0})
    lost["A / exposure"] = dict.fromkeys(lost["A / exposure"], math.nan)
    assert judge(PLAN, lost, metric="fd").control is None


def test_the_verdict_is_about_what_is_found_and_else_about_the_best_leader() -> None:
    plan = replace(PLAN, leaders=("A", "B", "D"), controls={})
    means = {"none": 9.0, "A": 4.0, "B": 6.0, "D": 9.0, "published": 9.0, "reversed": 9.0}
    results = full(plan, means, noise=0.7)
    results["D"] = {}
    verdict = judge(plan, results, metric="fd")
    assert verdict.arm == "A"
    assert verdict.leaders["D"] is None
    assert verdict.leaders["B"] is not None
    assert judge(plan, {}, metric="fd").arm is None
    nothing = judge(PLAN, full(PLAN, FLAT, seed=3), metric="pca64")
    assert nothing.arm == "A"
    assert nothing.main is not None
    assert not nothing.main.claimed


def test_an_arm_reaches_the_references_end_sooner_by_the_ratio_of_images() -> None:
    images = [100, 200, 300, 400]
    curves = {
        "none": {0: (images, [9.0, 7.0, 6.0, 5.0]), 1: (images, [9.0, 7.0, 6.0, 5.0])},
        "A": {0: (images, [8.0, 5.5, 4.5, 4.0]), 1: (images, [8.0, 5.5, 4.5, 4.0])},
        "reversed": {0: (images, [4.0, 8.0, 7.0, 6.0]), 1: (images, [4.0, 8.0, 7.0, 6.0])},
        "published": {0: (images, [8.0, 5.5, 4.5, 4.0])},
    }
    speed = sooner(PLAN, curves, "A")
    assert speed is not None
    assert speed.ratio == speed.low == speed.high == pytest.approx(400 / 250)
    late = sooner(PLAN, curves, "reversed")
    assert late is not None
    assert late.ratio == 0
    assert sooner(PLAN, curves, "published") is None


def test_a_reference_that_overfits_is_not_reached_sooner_by_itself() -> None:
    images = [100, 200, 300, 400]
    runs = {seed: (images, [9.0 - seed, 4.0, 5.0, 6.0]) for seed in range(4)}
    speed = sooner(PLAN, {"none": runs, "A": runs}, "A")
    assert speed is not None
    assert speed.ratio == 1


def test_the_interval_of_how_much_sooner_holds_the_truth_on_few_seeds() -> None:
    images = list(range(100, 1100, 100))
    means = {arm: 5 + 20 * np.exp(-np.array(images) * speed / 250) for arm, speed in (("none", 1.0), ("A", 1.5))}
    rng = np.random.default_rng(0)

    def draw(arm: str, count: int) -> dict[int, tuple[list[int], list[float]]]:
        level = 0.1 * rng.standard_normal((count, 1)) + 0.05 * rng.standard_normal((count, 10))
        return {seed: (images, list(means[arm] + level[seed])) for seed in range(count)}

    right = 0
    for _ in range(200):
        speed = sooner(PLAN, {"none": draw("none", 6), "A": draw("A", 3)}, "A")
        assert speed is not None
        right += speed.low <= 1.5 <= speed.high
    assert right >= 184
