"""How soon a curve reaches a target, and what no other row beats."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from curriculum_search.search.statistics.curves import pareto, reach

IMAGES = np.array([100.0, 200.0, 300.0, 400.0])


@pytest.mark.parametrize(
    ("gains", "target", "ratio"),
    [
        ([1.0, 2.0, 3.0, 4.0], 2.5, 400 / 250),  # linear between two evaluations
        ([1.0, 2.0, 3.0, 4.0], 4.0, 1.0),
        ([1.0, 2.0, 3.0, 4.0], 4.1, 0.0),  # never
        ([5.0, 6.0, 7.0, 8.0], 2.0, 4.0),  # before the first evaluation: not sooner than that
        ([3.0, 1.0, 3.0, 3.0], 2.0, 400 / 250),  # it stays there only from its second time on
        ([3.0, 3.0, 3.0, 1.0], 2.0, 0.0),  # it does not stay
        ([2.0, 2.0, 2.0, 2.0], 2.0, 4.0),
    ],
)
def test_a_target_is_reached_where_the_curve_stays_at_it(gains: list[float], target: float, ratio: float) -> None:
    assert reach(IMAGES, np.array([gains]), np.array([target])).tolist() == pytest.approx([ratio])


def test_each_curve_has_a_target_of_its_own() -> None:
    gains = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
    assert reach(IMAGES, gains, np.array([3.0, 1.0])).tolist() == pytest.approx([400 / 300, 4.0])


@pytest.mark.parametrize(
    ("gains", "front"),
    [
        ([[1, 3], [2, 2], [3, 1]], [True, True, True]),
        ([[1, 3], [2, 2], [1, 2]], [True, True, False]),
        ([[2, 2], [2, 2]], [True, True]),  # equals do not beat each other
        ([[2, 2], [2, 1]], [True, False]),  # no worse in one, worse in the other
        ([[1], [3], [2]], [False, True, False]),
    ],
)
def test_the_pareto_set_is_what_no_other_beats(gains: list[list[float]], front: list[bool]) -> None:
    assert pareto(np.array(gains, dtype=np.float64)).tolist() == front


@given(arrays(np.float64, (6, 2), elements=st.integers(0, 3).map(float)))
def test_whatever_is_not_in_the_pareto_set_is_beaten_by_something_in_it(gains: NDArray[np.float64]) -> None:
    front = pareto(gains)
    assert front.any()
    for row in gains[~front]:
        assert any((best >= row).all() and (best > row).any() for best in gains[front])
