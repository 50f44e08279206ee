"""The only code that speaks to MLflow, against a real SQLite store."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from support.tracked import RunsOf, tracked_runs

from curriculum_search.tracking.store import RUN_TAG, STUDY, STUDY_TAG, MlflowStore, reason, shown

Record = Mapping[str, Any]
MakeStore = Callable[..., MlflowStore]


@pytest.fixture
def make_store(uri: str, experiment: str) -> MakeStore:
    """Opens the store of a study in the test's own experiment, as a process does that knows of these runs."""

    def make(study_id: str = "id", runs: dict[str, str] | None = None) -> MlflowStore:
        known = {} if runs is None else runs
        return MlflowStore(uri, experiment=experiment, study="quick", study_id=study_id, runs=known)

    return make


def start(run: str, *, time: float = 100.0, **fields: object) -> Record:
    return {"run": run, "kind": "start", "time": time, "name": f"run {run}", "params": {}, "tags": {}, **fields}


def metrics(run: str, images: int, time: float = 100.0, **values: float) -> Record:
    return {"run": run, "kind": "metrics", "time": time, "images": images, "metrics": values}


def end(run: str, status: str = "FINISHED", time: float = 200.0, **values: float) -> Record:
    return {"run": run, "kind": "end", "status": status, "time": time, "images": 0, "metrics": values}


def test_a_run_is_made_below_its_study_with_what_its_records_say(
    make_store: MakeStore, runs_of: RunsOf, experiment: str, uri: str
) -> None:
    store = make_store()
    assert (
        store.write([start("a", params={"order": "none"}, tags={"arm": "x"}), metrics("a", 64, fd=2.0)], search=False)
        == {}
    )
    runs = runs_of(experiment)
    assert set(runs) == {"quick", "run a"}  # the study's run too, though nothing was said of it
    assert store.runs == {"a": runs["run a"].info.run_id, STUDY: runs["quick"].info.run_id}
    run = runs["run a"]
    assert (run.data.params, run.data.metrics) == ({"order": "none"}, {"fd": 2.0})
    assert run.data.tags["mlflow.parentRunId"] == runs["quick"].info.run_id
    assert (run.data.tags[STUDY_TAG], run.data.tags[RUN_TAG], run.data.tags["arm"]) == ("id", "a", "x")
    assert (run.info.status, run.info.start_time) == ("RUNNING", 100_000)
    (point,) = MlflowClient(uri).get_metric_history(run.info.run_id, "fd")
    assert (point.step, point.timestamp) == (64, 100_000)


def test_everything_may_be_written_twice(make_store: MakeStore, runs_of: RunsOf, experiment: str, uri: str) -> None:
    records = [start("a", params={"order": "none"}), metrics("a", 64, fd=2.0), end("a", best_fd=2.0)]
    for search in (False, True):  # by a process that does not remember: it has to look for the runs
        assert make_store().write(records, search=search) == {}
    runs = runs_of(experiment)
    assert set(runs) == {"quick", "run a"}
    history = MlflowClient(uri).get_metric_history(runs["run a"].info.run_id, "fd")
    assert [(point.step, point.value) for point in history] == [(64, 2.0)]
    assert (runs["run a"].info.status, runs["run a"].info.end_time) == ("FINISHED", 200_000)


def test_another_study_of_the_same_name_has_runs_of_its_own(make_store: MakeStore, uri: str, experiment: str) -> None:
    for study_id in ("one", "two", "two"):
        make_store(study_id).write([start("a")], search=True)
    found = [(run.data.tags[STUDY_TAG], run.info.run_name) for run in tracked_runs(uri, experiment)]
    assert sorted(found) == [("one", "quick"), ("one", "run a"), ("two", "quick"), ("two", "run a")]


def test_a_run_that_is_known_and_begins_again_runs_again(
    make_store: MakeStore, runs_of: RunsOf, experiment: str
) -> None:
    known: dict[str, str] = {}
    make_store(runs=known).write([start("a"), end("a", "KILLED")], search=False)
    assert runs_of(experiment)["run a"].info.status == "KILLED"
    make_store(runs=known).write([start("a", time=300.0)], search=False)
    assert runs_of(experiment)["run a"].info.status == "RUNNING"
    make_store(runs=known).write([start("a", time=400.0), end("a", time=500.0)], search=False)
    assert runs_of(experiment)["run a"].info.status == "FINISHED"


def test_more_than_a_call_takes_is_written_in_several(
    make_store: MakeStore, runs_of: RunsOf, experiment: str, uri: str
) -> None:
    many = {f"m{i}": float(i) for i in range(1000)}
    params, tags = ({f"{name}{i}": "x" for i in range(150)} for name in ("p", "t"))
    records = [start("a", params=params, tags=tags), metrics("a", 64, **many), metrics("a", 128, **many)]
    assert make_store().write(records, search=False) == {}
    run = runs_of(experiment)["run a"]
    assert run.data.metrics == many
    assert len(run.data.params) == 150
    assert tags.items() <= run.data.tags.items()
    assert [p.step for p in MlflowClient(uri).get_metric_history(run.info.run_id, "m999")] == [64, 128]


def test_what_mlflow_never_takes_is_told_by_run_and_the_others_are_written(
    make_store: MakeStore, runs_of: RunsOf, experiment: str, tmp_path: Path
) -> None:
    store = make_store()
    store.write([start("a", params={"order": "none"}), start("b"), start("c")], search=False)
    there = tmp_path / "there.txt"
    there.write_text("text")
    refused = store.write(
        [
            {"run": "a", "kind": "start", "time": 1.0, "name": "a", "params": {"order": "random"}},  # a param for good
            {"run": "b", "kind": "artifact", "time": 1.0, "path": str(tmp_path / "gone.txt"), "folder": ""},
            {"run": "b", "kind": "artifact", "time": 1.0, "path": str(there), "folder": "here"},
            metrics("c", 64, fd=1.0),
        ],
        search=False,
    )
    assert refused.keys() == {"a", "b"}
    assert "order" in refused["a"]
    assert "\n" not in refused["a"]
    assert refused["b"] == f"{tmp_path / 'gone.txt'}: no such file any more"
    runs = runs_of(experiment)
    assert runs["run c"].data.metrics == {"fd": 1.0}
    assert Path(runs["run b"].info.artifact_uri.removeprefix("file://"), "here", "there.txt").read_text() == "text"


def test_what_may_pass_is_raised_to_be_tried_again(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*arguments: object) -> None:
        raise OSError("database is locked")

    store = make_store()
    store.connect()
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", locked)
        with pytest.raises(OSError, match="database is locked"):
            store.write([start("a"), metrics("a", 64, fd=1.0)], search=False)
    assert store.write([start("a"), metrics("a", 64, fd=1.0)], search=True) == {}


def test_its_page_is_an_address_or_the_command_that_opens_it(make_store: MakeStore, uri: str) -> None:
    store = make_store()
    assert not store.is_server
    assert store.page() == f"mlflow ui --backend-store-uri {uri}"
    server = MlflowStore("http://me:secret@host:5000/", experiment="e", study="s", study_id="i", runs={})
    assert server.is_server
    assert server.page().startswith("http://me:***@host:5000/#/experiments/")


def test_an_address_is_shown_without_its_password() -> None:
    assert shown("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert shown("sqlite:////tmp/mlflow.db") == "sqlite:////tmp/mlflow.db"


def test_what_went_wrong_is_told_from_the_bottom_on_one_line() -> None:
    top = RuntimeError("max retries exceeded")
    top.__cause__ = OSError("connection\n  refused")
    assert reason(top) == "connection refused"
    assert reason(ValueError()) == "ValueError"
