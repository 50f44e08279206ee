"""The only code that speaks to MLflow, against a real SQLite store."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.tracked import RunsOf, tracked_runs

from curriculum_search.tracking.exhibits import STUDY_TAG
from curriculum_search.tracking.run_log import Line, Record, RunLog
from curriculum_search.tracking.store import RUN_TAG, SENT_TAG, MlflowStore, reason

MakeStore = Callable[..., MlflowStore]
Say = Callable[..., list[Line]]


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """Adds records to the journal, and gives their lines."""
    journal = RunLog(tmp_path / "journal.jsonl")

    def add(*records: Record) -> list[Line]:
        before = len(journal.lines())
        journal.append(*records)
        return journal.lines()[before:]

    return add


@pytest.fixture
def make_store(uri: str, experiment: str, tmp_path: Path) -> MakeStore:
    """Opens the store of a study in the test's own experiment, as a process does that has this journal."""

    def make(study_id: str = "id", lines: list[Line] | None = None) -> MlflowStore:
        store = MlflowStore(
            uri, experiment=experiment, experiment_id="", study="quick", study_id=study_id, base=tmp_path
        )
        store.connect()
        store.find_runs(lines or [])
        return store

    return make


def start(run: str, *, time: float = 100.0, **fields: object) -> Record:
    return {"run": run, "kind": "start", "time": time, "name": f"run {run}", "params": {}, "tags": {}, **fields}


def metrics(run: str, images: int, time: float = 100.0, **values: float) -> Record:
    return {"run": run, "kind": "metrics", "time": time, "images": images, "metrics": values}


def end(run: str, status: str = "FINISHED", time: float = 200.0, **values: float) -> Record:
    return {"run": run, "kind": "end", "status": status, "time": time, "images": 0, "metrics": values}


def artifact(run: str, path: str, folder: str = "") -> Record:
    return {"run": run, "kind": "artifact", "time": 1.0, "path": path, "folder": folder}


def test_a_run_is_made_below_its_study_with_what_its_records_say(
    make_store: MakeStore, say: Say, runs_of: RunsOf, experiment: str, uri: str
) -> None:
    lines = say(start("a", params={"order": "none"}, tags={"arm": "x"}), metrics("a", 64, fd=2.0))
    assert make_store().write(lines) == {}
    runs = runs_of(experiment)
    assert set(runs) == {"quick", "run a"}  # the study's run too, though nothing was said of it
    run = runs["run a"]
    assert (run.data.params, run.data.metrics) == ({"order": "none"}, {"fd": 2.0})
    assert run.data.tags["mlflow.parentRunId"] == runs["quick"].info.run_id
    assert (run.data.tags[STUDY_TAG], run.data.tags[RUN_TAG], run.data.tags["arm"]) == ("id", "a", "x")
    assert {run.data.tags[SENT_TAG] for run in runs.values()} == {lines[-1].mark}
    assert (run.info.status, run.info.start_time) == ("RUNNING", 100_000)
    (point,) = MlflowClient(uri).get_metric_history(run.info.run_id, "fd")
    assert (point.step, point.timestamp) == (64, 100_000)


def test_everything_may_be_written_twice(
    make_store: MakeStore, say: Say, runs_of: RunsOf, experiment: str, uri: str
) -> None:
    lines = say(start("a", params={"order": "none"}), metrics("a", 64, fd=2.0), end("a", best_fd=2.0))
    for _ in range(2):  # the second by a process that knows of no journal, and writes everything over
        assert make_store().write(lines) == {}
    runs = runs_of(experiment)
    assert set(runs) == {"quick", "run a"}
    history = MlflowClient(uri).get_metric_history(runs["run a"].info.run_id, "fd")
    assert [(point.step, point.value) for point in history] == [(64, 2.0)]
    assert (runs["run a"].info.status, runs["run a"].info.end_time) == ("FINISHED", 200_000)


def test_what_mlflow_lacks_of_a_journal_begins_with_the_first_line_that_it_does_not_have(
    make_store: MakeStore, say: Say
) -> None:
    first = say(start("a"), metrics("a", 64, fd=2.0))
    make_store().write(first)
    second = say(start("b"), metrics("a", 128, fd=1.0))
    store = make_store(lines=first + second)
    assert store.find_runs(first + second) == second[0].start
    assert [store.lacks(line) for line in first + second] == [False, False, True, True]
    store.write(first + second)
    assert make_store().find_runs(first + second) == second[-1].end


def test_another_study_of_the_same_name_has_runs_of_its_own(
    make_store: MakeStore, say: Say, uri: str, experiment: str
) -> None:
    lines = say(start("a"))
    for study_id in ("one", "two", "two"):
        make_store(study_id, lines).write(lines)
    found = [(run.data.tags[STUDY_TAG], run.info.run_name) for run in tracked_runs(uri, experiment)]
    assert sorted(found) == [("one", "quick"), ("one", "run a"), ("two", "quick"), ("two", "run a")]


def test_a_run_that_is_known_and_begins_again_runs_again(
    make_store: MakeStore, say: Say, runs_of: RunsOf, experiment: str
) -> None:
    lines = say(start("a"), end("a", "KILLED"))
    make_store().write(lines)
    assert runs_of(experiment)["run a"].info.status == "KILLED"
    again = say(start("a", time=300.0))
    make_store(lines=lines + again).write(lines + again)
    assert runs_of(experiment)["run a"].info.status == "RUNNING"
    ended = say(start("a", time=400.0), end("a", time=500.0))
    make_store(lines=lines + again + ended).write(lines + again + ended)
    assert runs_of(experiment)["run a"].info.status == "FINISHED"


def test_more_than_a_call_takes_is_written_in_several(
    make_store: MakeStore, say: Say, runs_of: RunsOf, experiment: str, uri: str
) -> None:
    many = {f"m{i}": float(i) for i in range(1000)}
    params, tags = ({f"{name}{i}": "x" for i in range(150)} for name in ("p", "t"))
    lines = say(start("a", params=params, tags=tags), metrics("a", 64, **many), metrics("a", 128, **many))
    assert make_store().write(lines) == {}
    run = runs_of(experiment)["run a"]
    assert run.data.metrics == many
    assert len(run.data.params) == 150
    assert tags.items() <= run.data.tags.items()
    assert [p.step for p in MlflowClient(uri).get_metric_history(run.info.run_id, "m999")] == [64, 128]


def test_what_mlflow_never_takes_is_told_by_run_and_the_others_are_written(
    make_store: MakeStore, say: Say, runs_of: RunsOf, experiment: str, tmp_path: Path
) -> None:
    store = make_store()
    store.write(say(start("a", params={"order": "none"}), start("b"), start("c")))
    (tmp_path / "there.txt").write_text("text")
    lines = say(
        start("a", params={"order": "random"}),  # a param is for good
        artifact("b", "gone.txt"),
        artifact("b", "there.txt", "here"),
        metrics("c", 64, fd=1.0),
    )
    refused = store.write(lines)
    assert refused.keys() == {"a", "b"}
    (problem,) = refused["a"]
    assert "order" in problem
    assert "\n" not in problem
    assert refused["b"] == ["gone.txt: no such file any more"]
    runs = runs_of(experiment)
    assert runs["run c"].data.metrics == {"fd": 1.0}
    assert Path(runs["run b"].info.artifact_uri.removeprefix("file://"), "here", "there.txt").read_text() == "text"


def test_what_may_pass_is_raised_to_be_tried_again(
    make_store: MakeStore, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*arguments: object) -> None:
        raise OSError("database is locked")

    lines = say(start("a"), metrics("a", 64, fd=1.0))
    store = make_store()
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", locked)
        with pytest.raises(OSError, match="database is locked"):
            store.write(lines)
    assert make_store(lines=lines).write(lines) == {}


def test_its_page_is_an_address_or_the_command_that_opens_it(make_store: MakeStore, uri: str, tmp_path: Path) -> None:
    store = make_store()
    assert not store.is_server
    query = "runs?workflowType=machine_learning"
    where = f"http://127.0.0.1:5000/#/experiments/{store.experiment_id}/{query}"
    assert store.page() == f"mlflow ui --backend-store-uri {uri}  # {where}"
    address = "http://me:secret@host:5000/"
    server = MlflowStore(address, experiment="e", experiment_id="7", study="s", study_id="i", base=tmp_path)
    assert server.is_server
    assert server.page() == f"http://me:***@host:5000/#/experiments/7/{query}"
    shared = "&viewStateShareKey=a%20b%2F1&compareRunsMode=CHART"
    assert server.page("a b/1") == f"http://me:***@host:5000/#/experiments/7/{query}{shared}"


def test_what_went_wrong_is_told_from_the_bottom_on_one_line() -> None:
    top = RuntimeError("max retries exceeded")
    top.__cause__ = OSError("connection\n  refused")
    assert reason(top) == "connection refused"
    assert reason(ValueError()) == "ValueError"
