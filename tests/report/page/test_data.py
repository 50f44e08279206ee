"""A study's data for a page."""

from support.study_data import study_data

from curriculum_search.direction import Direction


def test_the_first_objective_decides() -> None:
    data = study_data(objectives=("a", "b"), directions=(Direction.MAXIMIZE, Direction.MINIMIZE))
    assert (data.objective, data.direction) == ("a", Direction.MAXIMIZE)
