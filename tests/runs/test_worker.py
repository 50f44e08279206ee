"""What a worker says of a job, whoever it says it to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from support.jobs import base_job, untimed
from support.workplace import Workplace

from curriculum_search.runs.mailbox import REPORT, STATUS
from curriculum_search.runs.worker import run_trial
from curriculum_search.training import PlainSession, Report, StatusReport, train


def test_a_trial_sends_reports_and_statuses_as_text_each_under_its_own_key(
    make_workplace: Callable[[], Workplace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = make_workplace()
    file = workplace.load("base.cadence.status_images=48")
    job = base_job(workplace, file, "told")
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", sent.append)
    run_trial({"job": job.encode()})
    session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
    train(job.experiment, session, job.cache_dir)

    reports = [Report.from_json(message[REPORT]) for message in sent if REPORT in message]
    assert [untimed(report) for report in reports] == [untimed(report) for report in session.reports]
    statuses = [StatusReport.from_json(message[STATUS]) for message in sent if STATUS in message]
    assert [s.images for s in statuses] == [s.images for s in session.statuses] == list(range(48, 320, 48))
    assert [s.train_loss for s in statuses] == [s.train_loss for s in session.statuses]
    assert [message["images"] for message in sent] == sorted([*range(48, 320, 48), *range(80, 321, 80)])
    assert all(message.keys() in ({"images", REPORT}, {"images", STATUS}) for message in sent)
