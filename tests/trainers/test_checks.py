"""What reports have to be, whoever makes them."""

from dataclasses import replace

import pytest
from support.own_training import NOTHING
from trainers.conftest import MakeOwn

from curriculum_search.experiment import OwnTrainer
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.trainers.checks import TrainerError, check_end, checked_images, checked_metrics, one_line
from curriculum_search.training import Report


@pytest.fixture
def assignment(own: MakeOwn) -> Assignment:
    experiment = own(NOTHING)
    assert isinstance(experiment.trainer, OwnTrainer)
    return Assignment.of(experiment, experiment.trainer)


@pytest.mark.parametrize(("images", "drawn", "step"), [(80, 80, 16), (79, 80, 16), (96, 80, 16), (9900, 10_000, 16)])
def test_images_that_agree_with_what_was_drawn_to_a_step_or_a_hundredth_are_taken(
    assignment: Assignment, images: int, drawn: int, step: int
) -> None:
    large = replace(assignment, total_images=10_000)
    assert checked_images(large, images, drawn=drawn, step_images=step, reports=[]) == images


@pytest.mark.parametrize(
    ("images", "drawn", "message"),
    [
        (1.5, 80, "reports images=1.5: it must be a whole number"),
        (80, 0, "reports 80 images and has drawn no noise levels"),
        (40, 160, "reports 40 images after 80: the number must not go backwards"),
        (400, 320, "reports 400 images, beyond its budget of 320"),
        (160, 320, "reports 160 images and has drawn noise levels for 320"),
    ],
)
def test_images_that_cannot_be_are_refused(assignment: Assignment, images: int, drawn: int, message: str) -> None:
    with pytest.raises(TrainerError, match=f"^my_training.py: {message}"):
        checked_images(assignment, images, drawn=drawn, step_images=16, reports=[Report(images=80, metrics={})])


def test_values_become_numbers_and_those_that_were_not_promised_are_kept(assignment: Assignment) -> None:
    values = checked_metrics(assignment, {"score": 1, "other": True}, images=80, reports=[])
    assert values == {"score": 1.0, "other": 1.0}


@pytest.mark.parametrize(
    ("drawn", "reported", "message"),
    [
        (0, 0, "has drawn no noise levels"),
        (160, 2, "after 160 of 320 images: train until run.should_stop"),
        (320, 0, "has reported nothing: call run.report"),
        (320, 3, "has reported at 3 of 4 evaluations: ask run.report_is_due after each step, the last one included"),
    ],
)
def test_an_end_that_is_none_says_what_is_missing(
    assignment: Assignment, drawn: int, reported: int, message: str
) -> None:
    reports = [Report(images=80 * (i + 1), metrics={}) for i in range(reported)]
    with pytest.raises(TrainerError, match=rf"^my_training.py: ends .*{message}"):
        check_end(assignment, drawn=drawn, reports=reports, ended="ends")


def test_an_error_is_told_on_one_line() -> None:
    assert one_line(KeyError("a\nb")) == "KeyError: 'a\\nb'"
    assert one_line(ValueError("a\nb")) == "ValueError: a"
    assert one_line(ValueError()) == "ValueError"
