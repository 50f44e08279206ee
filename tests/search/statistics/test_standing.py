"""What of a confirmation that goes on is shown, and that one may look at it as often as one likes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support.confirmations import A_NONE, FLAT, PLAN, full

from curriculum_search.direction import Direction
from curriculum_search.search.statistics.comparison import compare
from curriculum_search.search.statistics.standing import repeated_interval, standing

TITLES = {"none": "no curriculum", "A": "A: easy to hard", "A / exposure": "A, exposure only"}


def first(results: dict[str, dict[int, float]], seeds: int) -> dict[str, dict[int, float]]:
    return {arm: {s: v for s, v in values.items() if s < PLAN.seeds_of(arm, seeds)} for arm, values in results.items()}


def test_the_intervals_hold_the_truth_at_every_look_at_once() -> None:
    wrong = once = 0
    for seed in range(200):
        results = full(PLAN, FLAT | {"A": 8.0}, seed=seed)
        misses = []
        for seeds in range(PLAN.min_seeds, PLAN.max_seeds + 1):
            comparison = compare(PLAN, first(results, seeds))[A_NONE]
            low, high = repeated_interval(PLAN, A_NONE, comparison)
            misses.append(not low <= -1 <= high)
        wrong += any(misses)
        once += misses[-1]
    assert once <= wrong <= 10  # of 200: at most 5 %


def test_an_interval_leaves_out_zero_only_where_it_is_claimed() -> None:
    rng = np.random.default_rng(0)
    for seed in range(60):
        results = first(full(PLAN, FLAT | {"A": 9 - rng.uniform(0, 2)}, seed=seed), 5)
        comparison = compare(PLAN, results)[A_NONE]
        low, high = repeated_interval(PLAN, A_NONE, comparison)
        assert (low <= 0 <= high) or comparison.claimed
        if not comparison.claimed:
            assert low < comparison.low < comparison.high < high or comparison.num_seeds == PLAN.max_seeds


def test_the_table_has_each_arms_seeds_mean_and_difference_as_far_as_they_are() -> None:
    results = first(full(PLAN, FLAT | {"A": 3.0}), 6)
    results["A"][5] = math.nan
    results["A / exposure"] = {0: 9.0}
    table = standing(PLAN, results, TITLES | {"published": "published"}, metric="fd")
    rows = list(zip(*table.columns.values(), strict=True))
    mean = np.mean([value for value in results["A"].values() if math.isfinite(value)])
    assert list(table.columns) == ["arm", "seeds", "fd", "beside no curriculum"]
    assert rows[0] == ("no curriculum", "12", f"{np.mean(list(results['none'].values())):.4g}", "")
    assert rows[1][:3] == ("A: easy to hard", "6 (1 diverged)", f"{mean:.4g}")
    assert rows[1][3].startswith("-")
    assert rows[2] == ("A, exposure only", "1", "9", "not yet")
    assert "from 4 seeds on (8 without a curriculum)" in table.meaning
    assert "every look, 95 % over all arms; lower is better" in table.meaning


@pytest.mark.parametrize(("direction", "mean", "word"), [("minimize", 3.0, "better"), ("maximize", 3.0, "worse")])
def test_what_is_claimed_is_called_so(direction: str, mean: float, word: str) -> None:
    plan = replace(PLAN, direction=Direction(direction))
    table = standing(plan, full(plan, FLAT | {"A": mean}), TITLES, metric="fd")
    assert table.columns["beside no curriculum"][1].endswith(f"] {word}")


def test_runs_that_all_diverged_and_seeds_that_change_nothing_have_no_bounds() -> None:
    results = full(PLAN, FLAT)
    lost = results | {"A": dict.fromkeys(results["A"], math.nan)}
    assert standing(PLAN, lost, TITLES, metric="fd").columns["beside no curriculum"][1].startswith("no size: ")
    same = standing(PLAN, full(PLAN, FLAT, noise=0.0), TITLES, metric="fd")
    assert same.columns["beside no curriculum"][1] == "+0 [no bound, no bound]"
    assert standing(PLAN, {}, {"none": "no curriculum"}, metric="fd").columns["fd"] == ["-"]
