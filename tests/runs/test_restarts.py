"""When a run that broke off is started again."""

import pytest

from curriculum_search.runs.restarts import Break, Restarts


def test_an_error_is_tried_again_twice_whatever_the_progress() -> None:
    restarts = Restarts()
    for images in (0, 100):
        restarts.progressed("a", images)
        assert restarts.decide("a", Break.ERROR) == 0.0
    restarts.progressed("a", 200)
    assert restarts.decide("a", Break.ERROR) is None
    assert restarts.decide("b", Break.ERROR) == 0.0  # another run has tries of its own


def test_deaths_without_progress_are_waited_for_longer_each_time_and_then_given_up() -> None:
    restarts = Restarts()
    restarts.progressed("a", 80)
    pauses = [restarts.decide("a", Break.DEATH) for _ in range(6)]
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, None]


def test_progress_renews_the_budget_of_deaths() -> None:
    restarts = Restarts()
    for images in range(1, 50):
        restarts.progressed("a", images)
        assert restarts.decide("a", Break.DEATH) == 0.0
    assert restarts.decide("a", Break.DEATH) == 1.0
    restarts.progressed("a", 40)  # said again after a restart: no progress
    assert restarts.decide("a", Break.DEATH) == 2.0


def test_deaths_cost_no_tries_of_errors() -> None:
    restarts = Restarts()
    for _ in range(3):
        restarts.decide("a", Break.DEATH)
    assert [restarts.decide("a", Break.ERROR) for _ in range(3)] == [0.0, 0.0, None]


@pytest.mark.parametrize("images", [0, 100])
def test_a_run_that_was_ended_for_its_silence_is_not_started_again(images: int) -> None:
    restarts = Restarts()
    restarts.progressed("a", images)
    assert restarts.decide("a", Break.SILENCE) is None
