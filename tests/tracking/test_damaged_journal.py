"""A journal or a record of what was sent that cannot be read, in part or at all."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from support.tracked import experiment_id
from support.workplace import Workplace

from curriculum_search.export import experiment_yaml
from curriculum_search.tracking import STUDY, Tracker

MakeTracker = Callable[..., Tracker]
RunsOf = Callable[[str], dict[str, Run]]
STEPS = range(1000, 6000, 1000)


@pytest.fixture
def journal(make_tracker: MakeTracker, tmp_path: Path) -> Path:
    """Of a study whose run a1 is in MLflow."""
    tracker = make_tracker()
    tracker.start_run(STUDY, name="quick")
    tracker.start_run("a1", name="trial", params={"order": "none"})
    tell(tracker)
    assert tracker.close(60) == ""
    return tmp_path / "study" / "journal.jsonl"


def tell(tracker: Tracker) -> None:
    for step in STEPS:
        tracker.log_metrics("a1", step, {"fd": 1e4 / step})
    tracker.end_run("a1", status="FINISHED", best={"best_fd": 2.0})


def check(uri: str, runs: dict[str, Run]) -> None:
    """MLflow has the run, and each of its points once."""
    client = MlflowClient(uri)
    assert set(runs) == {"quick", "trial"}
    points = client.get_metric_history(runs["trial"].info.run_id, "fd")
    assert [(point.step, point.value) for point in points] == [(step, 1e4 / step) for step in STEPS]
    assert [point.value for point in client.get_metric_history(runs["trial"].info.run_id, "best_fd")] == [2.0]
    assert runs["trial"].info.status == "FINISHED"
    assert runs["trial"].data.params == {"order": "none"}


def replace_line(path: Path, number: int, text: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = text
    path.write_bytes(b"".join(lines))


GARBAGE = [
    b"\0\0\0\0\n",
    b'{"run":"a1","time":17\n',
    b"\xff\xfe{}\n",
    b"[]\n",
    b'{"kind":"metrics","run":"a1"}\n',
    b"{}\n",
]


@pytest.mark.parametrize("number", range(1, 10))
@pytest.mark.parametrize("text", GARBAGE)
def test_a_line_that_cannot_be_read_is_named_and_what_it_said_can_be_said_again(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str, journal: Path, number: int, text: bytes
) -> None:
    before = journal.read_bytes()
    replace_line(journal, number, text)
    damaged = journal.read_bytes()
    tracker = make_tracker()
    words = tracker.damage()
    assert f"{journal}: cannot be read: line {number} (" in words
    assert f"{journal}.damaged" in words
    assert Path(f"{journal}.damaged").read_bytes() == damaged
    assert "a1" in tracker.known_runs()
    tell(tracker)
    assert tracker.close(60) == ""
    check(uri, runs_of(experiment))
    assert len(journal.read_bytes().splitlines()) >= len(before.splitlines()) - 1
    assert make_tracker().damage() == ""


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 0.999])
def test_a_journal_without_its_end_is_noticed_and_doubles_nothing(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str, journal: Path, share: float
) -> None:
    journal.write_bytes(journal.read_bytes()[: int(share * journal.stat().st_size)])
    tracker = make_tracker()
    assert f"{journal}: its end is missing, from line " in tracker.damage()
    assert tracker.known_runs() == {"a1"}
    tracker.start_run(STUDY, name="quick")
    tell(tracker)
    assert tracker.close(60) == ""
    check(uri, runs_of(experiment))


def test_a_journal_that_is_gone_leaves_the_study_what_it_was(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str, journal: Path
) -> None:
    journal.unlink()
    tracker = make_tracker()
    tell(tracker)
    tracker.start_run("b2", name="another")
    assert tracker.close(60) == ""
    runs = runs_of(experiment)
    del runs["another"]
    check(uri, runs)


SENT = ["", "{", "[]", "null", '{"bytes": "x"}', '{"bytes": -1}', "\0\0\0"]


@pytest.mark.parametrize("text", SENT)
def test_a_record_of_what_was_sent_is_rebuilt_from_mlflow(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str, journal: Path, text: str
) -> None:
    sent = journal.with_name("sent.json")
    before = sent.read_text()
    sent.write_text(text)
    tracker = make_tracker()
    assert tracker.damage() == ""
    tracker.catch_up()
    assert tracker.close(60) == ""
    check(uri, runs_of(experiment))
    assert sent.read_text() == before


@pytest.fixture
def experiment_file(workplace: Workplace) -> Path:
    path = workplace.folder / "experiment.yaml"
    path.write_text(experiment_yaml(workplace.load(workplace.watched()).base, "an experiment"))
    return path


def trained(workplace: Workplace) -> dict[str, object]:
    """What MLflow has of the one run: params, status, artifacts, and each metric's points."""
    client = MlflowClient(f"sqlite:///{workplace.results / 'mlflow.db'}")
    found = client.search_runs([experiment_id(client, "curriculum-search")])
    assert len(found) == 2
    (run,) = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    points = {
        name: sorted((point.step, point.value) for point in client.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
        if not name.startswith("status/")  # of a run, its own log has them; that of the tracker is a copy
    }
    tags = {name: value for name, value in run.data.tags.items() if not name.startswith(("mlflow.", "curriculum_"))}
    files = sorted(file.path for file in client.list_artifacts(run.info.run_id))
    return {"params": run.data.params, "points": points, "tags": tags, "files": files, "status": run.info.status}


def test_the_same_command_fills_an_emptied_store_with_a_run_that_has_ended(
    workplace: Workplace, experiment_file: Path, no_ray: None
) -> None:
    status, out, _ = workplace.call("train", experiment_file)
    assert status == 0
    before = trained(workplace)
    shutil.copy(workplace.database, workplace.results / "new.db")
    (workplace.results / "new.db").replace(workplace.results / "mlflow.db")
    again = workplace.call("train", experiment_file)
    assert again == (0, out[out.index("finished after") :], "")
    assert trained(workplace) == before


def test_a_command_takes_what_a_damaged_journal_has_lost_from_the_runs_own_log(
    workplace: Workplace, experiment_file: Path, no_ray: None
) -> None:
    assert workplace.call("train", experiment_file)[0] == 0
    before = trained(workplace)
    (journal,) = workplace.results.glob("train/runs/*/tracking/journal.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    lost = next(i for i, line in enumerate(lines, 1) if b'"val_loss"' in line)
    replace_line(journal, lost, b"#" * 20 + b"\n")
    shutil.copy(workplace.database, workplace.results / "new.db")
    (workplace.results / "new.db").replace(workplace.results / "mlflow.db")
    status, out, err = workplace.call("train", experiment_file)
    assert (status, err) == (0, "")
    assert f"MLflow: {journal}: cannot be read: line {lost} (" in out
    assert trained(workplace) == before
