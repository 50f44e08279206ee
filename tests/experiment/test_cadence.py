"""When a run says how it is doing, and when it is saved."""

from typing import Any

import pytest

from curriculum_search.experiment import Cadence, Experiment

BATCH = 16


def points(due: Any, end: int = 640) -> list[int]:
    return [images for images in range(BATCH, end + BATCH, BATCH) if due(images, BATCH)]


def test_a_status_is_due_after_the_step_that_reaches_each_multiple_of_its_images() -> None:
    assert points(Cadence(status_images=160).status_is_due) == [160, 320, 480, 640]
    assert points(Cadence(status_images=100).status_is_due, end=320) == [112, 208, 304]
    assert points(Cadence(status_images=1).status_is_due, end=48) == [16, 32, 48]


def test_a_status_is_due_every_200_steps_where_nothing_is_said() -> None:
    assert points(Cadence().status_is_due, end=7000) == [3200, 6400]


def test_a_grid_follows_the_last_evaluation_and_unless_that_is_unwanted_each_before() -> None:
    for wanted, before in ((None, True), ("evaluations", True), ("end", False)):
        cadence = Cadence(sample_grids=wanted)  # type: ignore[arg-type]
        assert cadence.grid_is_due(final=True)
        assert cadence.grid_is_due(final=False) is before


def test_checkpoints_are_due_by_images_only_where_that_is_asked_for() -> None:
    assert points(Cadence().checkpoint_is_due, end=7000) == []
    assert points(Cadence(checkpoint_images=300).checkpoint_is_due) == [304, 608]


def test_a_checkpoint_grows_too_old_after_its_minutes() -> None:
    assert not Cadence().overdue(599.9)
    assert Cadence().overdue(600.0)
    assert Cadence(checkpoint_minutes=0.5).overdue(30.0)
    assert not Cadence(checkpoint_minutes=None).overdue(1e9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"status_images": 0}, "status_images must be at least 1 or null, not 0"),
        ({"checkpoint_images": -5}, "checkpoint_images must be at least 1 or null, not -5"),
        ({"checkpoint_minutes": 0.0}, "checkpoint_minutes must be above 0 or null, not 0.0"),
    ],
)
def test_cadences_that_cannot_be_are_named(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Cadence(**fields)  # type: ignore[arg-type]


def test_the_cadence_is_a_field_of_an_experiment_like_any_other() -> None:
    cadence = Cadence(
        status_images=100, checkpoint_images=200, checkpoint_minutes=None, silence_minutes=9, sample_grids="end"
    )
    plain = Experiment(cadence=cadence).to_dict()["cadence"]
    assert plain == {
        "status_images": 100,
        "checkpoint_images": 200,
        "checkpoint_minutes": None,
        "silence_minutes": 9,
        "sample_grids": "end",
    }
