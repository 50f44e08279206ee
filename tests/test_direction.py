"""Which way a metric is better."""

import pytest

from curriculum_search.direction import Direction

ITEMS = [("a", 2.0), ("b", 1.0), ("c", 3.0), ("d", 1.0), ("e", 3.0)]


def value(item: tuple[str, float]) -> float:
    return item[1]


def test_a_difference_times_the_sign_is_a_gain_where_it_is_positive() -> None:
    assert Direction.MINIMIZE.sign * (1.0 - 2.0) > 0
    assert Direction.MAXIMIZE.sign * (2.0 - 1.0) > 0


def test_the_best_is_the_first_of_equals() -> None:
    assert Direction.MINIMIZE.best(ITEMS, value) == ("b", 1.0)
    assert Direction.MAXIMIZE.best(ITEMS, value) == ("c", 3.0)
    with pytest.raises(ValueError, match="empty"):
        Direction.MINIMIZE.best([], value)


def test_equals_are_ranked_in_the_order_in_which_they_came() -> None:
    assert [name for name, _ in Direction.MINIMIZE.ranked(ITEMS, value)] == ["b", "d", "a", "c", "e"]
    assert [name for name, _ in Direction.MAXIMIZE.ranked(ITEMS, value)] == ["c", "e", "a", "b", "d"]


def test_it_is_written_in_optunas_words_and_read_from_them() -> None:
    assert [f"{direction}" for direction in Direction] == ["minimize", "maximize"]
    assert Direction("maximize") is Direction.MAXIMIZE
    assert (Direction.MINIMIZE.better, Direction.MAXIMIZE.better) == ("lower", "higher")
