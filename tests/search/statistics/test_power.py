"""What more seeds would show, beside what simulated studies find."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support.confirmations import A_NONE, FLAT, PLAN, confirm, full

from curriculum_search.search.statistics.comparison import Comparison, compare
from curriculum_search.search.statistics.power import CHANCE, MOST_SEEDS, power, power_at, seeds_needed, separable
from curriculum_search.search.statistics.sequential import welch


def compared(gain: float = 0.0, *, noise: float = 1.0) -> Comparison:
    return compare(PLAN, full(PLAN, FLAT | {"A": 9.0 - gain}, noise=noise))[A_NONE]


@pytest.mark.parametrize(("most", "gain"), [(6, 1.5), (12, 1.0), (12, 1.5)])
def test_it_is_how_often_simulated_confirmations_find_a_gain(most: int, gain: float) -> None:
    plan = replace(PLAN, max_seeds=most)
    noise = dict.fromkeys(FLAT, 1.0)
    studies = [compare(plan, confirm(plan, FLAT | {"A": 9.0 - gain}, noise, seed))[A_NONE] for seed in range(160)]
    found = sum(c.claimed and c.better for c in studies) / len(studies)
    ours = np.array([most])
    errors, freedoms = welch(np.ones(1), ours, np.ones(1), 2 * ours)
    level = 0.05 * plan.contrasts[A_NONE]
    assert power(gain / errors[0], level=level, freedom=freedoms[0]) == pytest.approx(found, abs=0.1)


def test_without_a_difference_it_is_at_most_the_level() -> None:
    assert power(0.0, level=0.04, freedom=20.0) <= 0.02  # one of the two sides, and of the last look alone


def test_the_seeds_that_are_needed_are_the_fewest_that_do() -> None:
    comparison = compared(0.5)
    needed = seeds_needed(comparison, 0.8 * comparison.spread)
    assert needed is not None
    assert power_at(comparison, 0.8 * comparison.spread, needed) >= CHANCE
    assert power_at(comparison, 0.8 * comparison.spread, needed - 1) < CHANCE
    assert needed == seeds_needed(comparison, -0.8 * comparison.spread)


def test_what_is_too_small_or_has_no_spread_is_not_planned_for() -> None:
    assert seeds_needed(compared(), 1e-3) is None
    assert seeds_needed(compared(noise=0.0), 1.0) is None
    assert seeds_needed(compared(), math.inf) is None


def test_the_least_difference_that_seeds_separate_takes_just_so_many_seeds() -> None:
    comparison = compared()
    for seeds in (6, 12, 40):
        assert seeds_needed(comparison, separable(comparison, seeds) * 1.001) == seeds
    assert separable(comparison, MOST_SEEDS) < separable(comparison, 12)


def test_a_larger_chance_and_seeds_that_were_given_up_take_larger_differences() -> None:
    comparison = compared()
    usual, sure = separable(comparison, 12), separable(comparison, 12, chance=0.9)
    assert power_at(comparison, sure, 12) == pytest.approx(0.9, abs=0.01)
    given_up = separable(comparison, 12, share=0.5)
    assert power_at(comparison, given_up, 12, share=0.5) == pytest.approx(CHANCE, abs=0.01)
    assert usual < sure
    assert usual < given_up


@pytest.mark.parametrize("freedom", [1.0, 3.5, 20.0, 150.0, 1000.0])
def test_it_grows_with_the_difference_up_to_certainty(freedom: float) -> None:
    chances = [power(shift, level=0.04, freedom=freedom) for shift in np.linspace(0, 400, 4001)]
    assert all(np.diff(chances) >= -1e-9)
    assert chances[-1] == 1.0
