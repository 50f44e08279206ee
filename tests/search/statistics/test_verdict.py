"""Confirmation: what is claimed, who gets seeds, what the sentence says."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from curriculum_search.direction import Direction
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


def test_where_the_seeds_change_nothing_nothing_is_claimed() -> None:
    results = full(PLAN, FLAT | {"A": 8.999999999}, noise=0.0)
    verdict = judge(PLAN, results, metric="fd")
    assert verdict.main is not None
    assert not verdict.main.claimed
    assert "none: -1e-09 (no interval, as the seeds change nothing) in fd" in verdict.sentence


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


def test_arms_that_are_correlated_over_the_seeds_bring_no_claims_and_hide_no_gain() -> None:
    flat = [compare(PLAN, confirm(PLAN, FLAT, NOISE, seed, common=0.7)).values() for seed in range(300)]
    assert sum(any(c.claimed for c in comparisons) for comparisons in flat) <= 9
    noise, better = dict.fromkeys(FLAT, 2.0), FLAT | {"A": 5.0}
    found = [compare(PLAN, confirm(PLAN, better, noise, seed, common=0.7))[A_NONE] for seed in range(60)]
    assert sum(c.claimed and c.better for c in found) >= 54


def test_a_diverged_run_counts_as_the_worst_of_the_two_arms_and_is_named() -> None:
    results = full(PLAN, FLAT | {"A": 5.0})
    before = compare(PLAN, results)[A_NONE]
    results["A"][9] = math.nan
    after = compare(PLAN, results)[A_NONE]
    assert after.diverged == 1
    worst = max(*results["none"].values(), *list(results["A"].values())[:9])
    shift = worst - full(PLAN, FLAT | {"A": 5.0})["A"][9]
    assert after.difference == pytest.approx(before.difference + shift / 10)
    assert after.claimed
    assert (
        "; 1 of 10 of its runs diverged and counts as the worst value of the two;"
        in judge(PLAN, results, metric="fd").sentence
    )
    results["none"][0] = results["none"][19] = math.inf
    assert (
        "; 1 of 10 of its runs and 2 of 20 of none's runs diverged and count as the worst"
        in judge(PLAN, results, metric="fd").sentence
    )


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


def test_the_share_is_of_the_mean_that_the_difference_is_taken_from() -> None:
    results = full(PLAN, FLAT | {"A": 5.0})
    for seed in range(4):
        results["none"][seed] = math.nan
    verdict = judge(PLAN, results, metric="fd")
    values = [value for value in results["none"].values() if math.isfinite(value)]
    mean = np.mean([*values, *[max(values)] * 4])
    assert verdict.main is not None
    assert f"in fd ({abs(verdict.main.difference) / mean:.0%})".replace("%", " %") in verdict.sentence


def test_there_is_no_share_of_a_mean_near_zero() -> None:
    results = full(replace(PLAN, direction=Direction.MAXIMIZE), dict.fromkeys(FLAT, 0.05) | {"A": 4.0})
    sentence = judge(replace(PLAN, direction=Direction.MAXIMIZE), results, metric="score").sentence
    assert " in score, p < 0.001 over all arms and looks, after 10 seeds;" in sentence


def test_an_arm_that_diverges_more_often_is_not_called_better_however_good_its_other_runs_are() -> None:
    results = full(PLAN, FLAT | {"A": 2.0}, noise=0.5)
    for seed in (1, 4, 8):
        results["A"][seed] = math.inf
    lucky = compare(PLAN, results)[A_NONE]
    assert not lucky.claimed
    assert lucky.high == math.inf


def test_where_all_runs_of_an_arm_diverge_no_size_is_told() -> None:
    results = full(PLAN, FLAT)
    lost = {arm: dict.fromkeys(values, math.nan) for arm, values in results.items()}
    ours = judge(PLAN, results | {"A": lost["A"]}, metric="fd")
    theirs = judge(PLAN, results | {"none": lost["none"]}, metric="fd")
    both = judge(PLAN, lost, metric="fd")
    assert ours.sentence.startswith("A is worse than none in fd, p ")
    assert "after 10 seeds; all its runs diverged; exposure alone is" in ours.sentence
    assert theirs.sentence.startswith("A is better than none in fd, p ")
    assert "; all none's runs diverged; exposure alone is better, without a size, as all runs of" in theirs.sentence
    assert both.sentence.startswith("A is not separable from none in fd after 10 seeds; all its runs and all none's")
    for verdict, difference in ((ours, math.inf), (theirs, -math.inf), (both, math.nan)):
        assert verdict.main is not None
        assert verdict.main.difference == pytest.approx(difference, nan_ok=True)
        assert not {"inf", "nan", "+0"} & set(verdict.sentence.replace("[", " ").replace(",", " ").split())


def test_a_leader_that_trains_goes_before_one_all_of_whose_runs_diverged() -> None:
    plan = replace(PLAN, leaders=("A", "B"), controls={})
    results = full(plan, {"none": 9.0, "A": 9.0, "B": 9.0, "published": 9.0, "reversed": 9.0})
    for arm in ("none", "A"):
        results[arm] = dict.fromkeys(results[arm], math.nan)
    verdict = judge(plan, results, metric="fd")
    assert verdict.arm == "B"
    assert "; beside none, A is not separable (without a size, as all runs of both diverged)" in verdict.sentence


def test_the_sentence_says_what_is_order_and_what_exposure() -> None:
    results = full(PLAN, FLAT | {"A": 4.0, "A / exposure": 6.5}, noise=0.7)
    verdict = judge(PLAN, results, metric="pca64")
    assert verdict.order is not None
    assert verdict.exposure is not None
    assert verdict.main is not None
    assert verdict.main.claimed
    assert verdict.main.difference == pytest.approx(
        verdict.order.difference + verdict.exposure.difference, abs=0.6
    )  # the reference's further seeds count only once
    assert re.fullmatch(
        r"A is better than none by [\d.]+ \[[\d.]+, [\d.]+\] in pca64 \(\d\d %\), p < 0.001 over all arms and "
        r"looks, after 10 seeds; exposure alone is better by \S+ \[\S+, \S+\], the order on top of it "
        r"better by \S+ \[\S+, \S+\] \(brackets: 95 % intervals over all arms, of claims over all looks too\)\.",
        verdict.sentence,
    )


def test_the_brackets_are_those_of_the_plans_confidence() -> None:
    verdict = judge(replace(PLAN, confidence=0.9), full(PLAN, FLAT), metric="fd")
    assert verdict.sentence.endswith("(brackets: 90 % intervals over all arms, of claims over all looks too).")


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (4.0, 4.0, r"kid agrees: better by [\d.]+ \[[\d.]+, [\d.]+\]"),
        (4.0, 14.0, r"kid contradicts: worse by [\d.]+ \[[\d.]+, [\d.]+\]"),
        (4.0, 8.9, r"kid does not confirm it: leans the same way, [\d.]+ \[-[\d.]+, [\d.]+\]"),
        (4.0, 9.3, r"kid does not confirm it: leans the other way, [\d.]+ \[-[\d.]+, [\d.]+\]"),
        (9.0, 9.0, r"kid does not separate them either: [+-][\d.]+ \[-[\d.]+, \+[\d.]+\]"),
        (9.0, 4.0, r"kid alone finds it better by [\d.]+ \[[\d.]+, [\d.]+\] \(a test of its own\)"),
        (9.0, 14.0, r"kid alone finds it worse by [\d.]+ \[[\d.]+, [\d.]+\] \(a test of its own\)"),
    ],
)
def test_another_metric_says_a_size_and_what_it_tells(ours: float, theirs: float, words: str) -> None:
    results = full(PLAN, FLAT | {"A": ours}, noise=0.7)
    other = full(PLAN, FLAT | {"A": theirs}, noise=0.7, seed=1)
    assert re.search(f"; {words} \\(brackets", judge(PLAN, results, metric="fd", others={"kid": other}).sentence)


def test_the_sentence_names_every_leader() -> None:
    plan = replace(PLAN, leaders=("A", "B", "C", "D"), controls={})
    means = {"none": 9.0, "A": 4.0, "B": 6.0, "C": 9.0, "D": 9.0, "published": 9.0, "reversed": 9.0}
    results = full(plan, means, noise=0.7)
    results["D"] = {}
    assert re.search(
        r"; beside none, B is better by \S+ \[\S+ \S+\], C is not separable \(\S+ \[\S+ \S+\]\), "
        r"D has too few seeds \(",
        judge(plan, results, metric="fd").sentence,
    )


def test_where_nothing_is_found_the_sentence_says_so() -> None:
    verdict = judge(PLAN, full(PLAN, FLAT, seed=3), metric="pca64")
    assert verdict.main is not None
    assert not verdict.main.claimed
    assert verdict.sentence.startswith("A is not separable from none: ")
    nothing = judge(PLAN, {}, metric="pca64")
    assert nothing.arm is None
    assert nothing.sentence == "No verdict: no leader has its seeds beside none."


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
