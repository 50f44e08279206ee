"""What a worker says of a job, whoever it says it to."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune
from support.jobs import base_job, untimed
from support.workplace import Workplace

from curriculum_search.runs import worker
from curriculum_search.runs.job import Job, RunError
from curriculum_search.runs.mailbox import GOES_ON, REMARKS, REPORT, STATUS
from curriculum_search.runs.notices import Stopped
from curriculum_search.runs.worker import run_trial, train_one
from curriculum_search.training import CHECKPOINT, Interrupted, PlainSession, Report, Session, StatusReport, train


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


@pytest.fixture
def job(make_workplace: Callable[[], Workplace]) -> Job:
    workplace = make_workplace()
    return base_job(workplace, workplace.load("base.cadence.status_images=48"), "told")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], int]]:
    """What a trial of one worker sends, and in which thread."""
    sent: list[tuple[dict[str, Any], int]] = []
    monkeypatch.setattr(tune, "report", lambda message: sent.append((message, threading.get_ident())))
    return sent


def remarks(sent: list[tuple[dict[str, Any], int]]) -> list[str]:
    return [line for message, _ in sent for line in json.loads(message.get(REMARKS, "[]"))]


def test_a_fallback_is_told_before_the_first_step(job: Job, sent: list[tuple[dict[str, Any], int]]) -> None:
    run_trial({"job": job.encode()})
    (job.run_dir / CHECKPOINT).write_bytes(b"PK")
    sent.clear()
    run_trial({"job": job.encode()})
    (first, _), *others = sent
    (line,) = json.loads(first[REMARKS])
    assert "checkpoint.pt.damaged-1, and the run" in line
    assert first.keys() == {"images", REMARKS}
    assert remarks(others) == []


@contextmanager
def troubled(address: str, run_dir: Path, *, tell: Callable[[str], None], **others: Any) -> Iterator[None]:
    """Stands for `shared_run`, whose thread says something at the beginning, and at the end."""

    def say(words: str) -> None:
        thread = threading.Thread(target=tell, args=(words,))
        thread.start()
        thread.join()

    say("gone")
    try:
        yield
    finally:
        say("back")


def test_what_another_thread_remarks_is_sent_by_the_one_that_trains_after_its_step(
    job: Job, sent: list[tuple[dict[str, Any], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "shared_run", troubled)
    run_trial({"job": job.encode()})
    assert remarks(sent[:1]) == ["gone"]
    assert remarks(sent[-1:]) == ["back"]
    assert len(remarks(sent)) == 2
    assert {thread for _, thread in sent} == {threading.get_ident()}


@pytest.mark.parametrize("end", [Interrupted(160), OSError("no answer")])
def test_what_is_remarked_as_a_run_is_left_is_sent_too(
    job: Job, sent: list[tuple[dict[str, Any], int]], monkeypatch: pytest.MonkeyPatch, end: Exception
) -> None:
    def leave(*arguments: Any) -> None:
        raise end

    monkeypatch.setattr(worker, "shared_run", troubled)
    monkeypatch.setattr(worker, "train", leave)
    with pytest.raises(Stopped if isinstance(end, Interrupted) else RunError):
        run_trial({"job": job.encode()})
    assert remarks(sent) == ["gone", "back"]


def test_one_of_several_workers_sends_its_remarks_at_once_in_whatever_thread(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[tuple[dict[str, Any], int]] = []
    seen: list[list[str]] = []

    def look(experiment: object, session: Session, cache_dir: Path) -> None:
        seen.append(remarks(added))

    monkeypatch.setattr(worker, "shared_run", troubled)
    monkeypatch.setattr(worker, "train", look)
    train_one(
        job.encode(),
        lambda message: pytest.fail("nothing is said by all workers"),
        torch.device("cpu"),
        add=lambda message: added.append((message, threading.get_ident())),
    )
    assert seen == [["gone"]]
    assert remarks(added) == ["gone", "back"]
    assert threading.get_ident() not in {thread for _, thread in added}


def test_that_an_evaluation_goes_on_is_told_now_and_then(
    job: Job, sent: list[tuple[dict[str, Any], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_trial({"job": job.encode()})
    assert not [message for message, _ in sent if GOES_ON in message]  # in half a minute
    monkeypatch.setattr(worker, "_GOES_ON_SECONDS", 0.0)
    for path in job.run_dir.glob("checkpoint*.pt"):
        path.unlink()
    sent.clear()
    run_trial({"job": job.encode()})
    kinds = [next(iter(message.keys() - {"images"})) for message, _ in sent]
    assert kinds[-2:] == [GOES_ON, REPORT]  # the last evaluation, which generates
