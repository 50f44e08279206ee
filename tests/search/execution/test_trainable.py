"""What a trial tells Tune."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune

from curriculum_search.search.execution.jobs import Job
from curriculum_search.search.execution.trainable import REPORT, STATUS, experiment_of, run_trial
from curriculum_search.training import PlainSession, Report, Status, train

TIMES = {"images_per_second", "train_seconds"}


def untimed(report: Report) -> tuple[Any, ...]:
    metrics = {name: value for name, value in report.metrics.items() if name not in TIMES}
    return report.images, metrics, report.switches, report.final, report.exposure


def test_a_trial_sends_reports_and_statuses_as_text_each_under_its_own_key(
    make_workplace: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = make_workplace()
    file = workplace.load("base.cadence.status_images=48")
    job = Job(
        key="told",
        experiment=file.base.to_dict(),
        run_dir=workplace.folder / "runs" / "told",
        cache_dir=workplace.cache,
        plugins=file.plugins,
        working_dir=Path.cwd(),
    )
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", sent.append)
    run_trial({"job": job})
    session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
    train(experiment_of(job), session, job.cache_dir)

    reports = [Report.from_json(message[REPORT]) for message in sent if REPORT in message]
    assert [untimed(report) for report in reports] == [untimed(report) for report in session.reports]
    statuses = [Status.from_json(message[STATUS]) for message in sent if STATUS in message]
    assert [s.images for s in statuses] == [s.images for s in session.statuses] == list(range(48, 320, 48))
    assert [s.train_loss for s in statuses] == [s.train_loss for s in session.statuses]
    assert [message["images"] for message in sent] == sorted([*range(48, 320, 48), *range(80, 321, 80)])
    assert all(message.keys() in ({"images", REPORT}, {"images", STATUS}) for message in sent)
