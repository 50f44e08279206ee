"""What a run says, as objects and as text, and how it is told to stop."""

import json
import pickle
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path

import pytest

from curriculum_search.training import Interrupted, PlainSession, Report, StatusReport

REPORT = Report(
    images=160,
    metrics={"val_loss": 0.1 + 0.2, "train_loss": 1e-300, "stage": 2.0},
    switches=({"images": 0, "stage": 1, "reason": "start"}, {"images": 96, "stage": 2, "reason": "plateau"}),
    final=True,
    exposure={"edges": [0.0, 1 / 3, 1.0], "mass": [0.9, 0.1]},
)
STATUS = StatusReport(images=48, train_loss=2 / 3, images_per_second=1234.5678901234567, stage=3, unlocked_share=0.3)


def test_a_report_and_a_status_come_back_from_text_as_they_were() -> None:
    assert Report.from_json(REPORT.to_json()) == REPORT
    assert StatusReport.from_json(STATUS.to_json()) == STATUS
    plain = Report(images=80, metrics={"val_loss": 1.0})
    again = Report.from_json(plain.to_json())
    assert again == plain
    assert isinstance(again.switches, tuple)


def test_the_text_is_their_fields() -> None:
    assert json.loads(REPORT.to_json()) == json.loads(json.dumps(asdict(REPORT)))
    assert json.loads(STATUS.to_json()) == asdict(STATUS)


def test_they_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        STATUS.images = 0  # type: ignore[misc]


def test_an_interruption_says_where_the_run_was_saved_and_is_taken_for_no_error_of_the_run() -> None:
    interrupted = Interrupted(208)
    assert interrupted.images == 208
    assert str(interrupted) == "stopped at 208 images, where it was saved"
    assert not isinstance(interrupted, RuntimeError | ValueError | OSError)
    again = pickle.loads(pickle.dumps(interrupted))
    assert (type(again), again.images) == (Interrupted, 208)


def test_a_plain_session_keeps_what_it_is_told_and_stops_only_where_that_is_set(tmp_path: Path) -> None:
    session = PlainSession(run_dir=tmp_path)
    session.report(REPORT)
    session.status(STATUS)
    assert (session.reports, session.statuses) == ([REPORT], [STATUS])
    assert not session.should_stop
