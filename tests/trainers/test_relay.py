"""What a program says, as the reports of its run."""

import json
from pathlib import Path

import pytest
import torch
from support.own_training import NOTHING
from trainers.conftest import MakeOwn

from curriculum_search.experiment import OwnTrainer
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.trainers.checks import TrainerError
from curriculum_search.trainers.program import MESSAGES
from curriculum_search.trainers.relay import Lines, Relay
from curriculum_search.trainers.view import View
from curriculum_search.training import PlainSession


def test_lines_are_whole_and_come_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = Lines(path)
    assert list(lines.new()) == []
    with path.open("ab", buffering=0) as file:
        file.write(b"one\ntw")
        assert list(lines.new()) == [b"one"]
        file.write(b"o\n\nthree\n")
        assert list(lines.new()) == [b"two", b"", b"three"]
        assert list(Lines(path, start=None).new()) == []


class Told:
    """A program's files, and the relay of them."""

    def __init__(self, folder: Path, assignment: Assignment) -> None:
        self.session = PlainSession(run_dir=folder, device=torch.device("cpu"))
        self.messages, self.output = folder / MESSAGES, folder / "output.txt"
        self.relay = Relay(assignment, self.session, folder)
        self.lines = Lines(self.output)

    def due(self, images: int) -> None:
        view = View(
            images=images,
            step_images=16,
            seconds=images / 100,
            train_loss=1.0,
            stage=1,
            unlocked_share=0.25,
            switches=({"images": 0, "stage": 1, "reason": "start"},),
            exposure={"edges": [0.0, 1.0], "mass": [1.0]},
        )
        with self.messages.open("a") as file:
            file.write(json.dumps(["due", view.to_json()]) + "\n")

    def print(self, text: str) -> None:
        with self.output.open("a") as file:
            file.write(text + "\n")

    def take(self, *, ended: bool = False) -> list[int]:
        self.relay.take([self.lines], ended=ended)
        return [report.images for report in self.session.reports]


@pytest.fixture
def told(tmp_path: Path, own: MakeOwn) -> Told:
    experiment = own(NOTHING)
    assert isinstance(experiment.trainer, OwnTrainer)
    return Told(tmp_path, Assignment.of(experiment, experiment.trainer))


def test_metrics_wait_for_what_the_handle_knows_of_their_moment(told: Told) -> None:
    told.print('{"images": 80, "score": 0.5}')
    assert told.take() == []
    told.due(80)
    assert told.take() == [80]
    assert told.session.reports[0].metrics["score"] == 0.5
    assert told.session.reports[0].metrics["unlocked_share"] == 0.25


def test_other_lines_are_no_evaluations(told: Told) -> None:
    told.due(80)
    for line in (
        "epoch 1",
        '{"images": 80, "loss": 1}',
        '{"images": 80, "score"',
        '["images", "score"]',
        '{"score": 1}',
    ):
        told.print(line)
    assert told.take() == []
    told.print('{"images": 80, "score": 0.5, "note": "text is left out"}')
    assert told.take() == [80]


def test_an_evaluation_that_nobody_knew_of_is_an_error_at_the_end(told: Told) -> None:
    told.print('{"images": 80, "score": 0.5}')
    with pytest.raises(TrainerError, match=r"has not asked run.report_is_due"):
        told.take(ended=True)


def test_what_was_reported_before_the_program_goes_on_is_said_again(told: Told) -> None:
    for images in (80, 160, 240):
        told.due(images)
        told.print(json.dumps({"images": images, "score": 1.0}))
    assert told.take() == [80, 160, 240]
    again = Told(told.session.run_dir, told.relay._assignment)
    told.messages.write_text(json.dumps(["restored", 160]) + "\n")
    again.lines = Lines(again.output, start=None)
    assert again.take() == [80, 160]
    again.due(240)
    again.print('{"images": 240, "score": 2.0}')
    assert again.take() == [80, 160, 240]
    assert again.session.reports[-1].metrics["score"] == 2.0
