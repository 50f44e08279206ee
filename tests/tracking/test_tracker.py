"""The copy in MLflow, on a real SQLite store."""

import json
import math
import socket
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from support.tracked import MakeTracker, RunsOf, tracked_runs

from curriculum_search.tracking import STUDY, tracking_uri


def curve(uri: str, run: Run, metric: str) -> list[tuple[int, float]]:
    return [(p.step, p.value) for p in MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, metric)]


def test_a_study_is_a_parent_run_with_a_child_for_every_trial(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str, tmp_path: Path
) -> None:
    tracker = make_tracker()
    tracker.check()
    config = tmp_path / "experiment.json"
    config.write_text("{}")
    tracker.start_run(STUDY, name="quick", params={"objective": "fd"})
    tracker.start_run("a1", name="easy to hard", params={"order": "easy_to_hard"}, tags={"role": "searched"})
    tracker.start_run("b2", name="no curriculum")
    tracker.log_artifact("a1", config, "config")
    for images, value in ((1000, 9.0), (2000, 4.0), (3000, 5.0)):
        tracker.log_metrics("a1", images, {"fd": value, "loss": math.nan})
    tracker.end_run("a1", status="FINISHED", best={"best_fd": 4.0})
    tracker.end_run("b2", status="KILLED")
    assert tracker.close(30) == ""

    runs = runs_of(experiment)
    assert set(runs) == {"quick", "easy to hard", "no curriculum"}
    child = runs["easy to hard"]
    assert {runs[name].data.tags["mlflow.parentRunId"] for name in ("easy to hard", "no curriculum")} == {
        runs["quick"].info.run_id
    }
    assert child.data.params == {"order": "easy_to_hard"}
    assert child.data.tags["role"] == "searched"
    assert curve(uri, child, "fd") == [(1000, 9.0), (2000, 4.0), (3000, 5.0)]
    assert child.data.metrics == {"fd": 5.0, "best_fd": 4.0}
    assert curve(uri, child, "best_fd") == [(3000, 4.0)]
    assert {name: run.info.status for name, run in runs.items()} == {
        "quick": "RUNNING",
        "easy to hard": "FINISHED",
        "no curriculum": "KILLED",
    }
    artifacts = MlflowClient(tracking_uri=uri).list_artifacts(child.info.run_id, "config")
    assert [artifact.path for artifact in artifacts] == ["config/experiment.json"]
    assert (Path(uri.removeprefix("sqlite:///")).parent / "mlartifacts" / child.info.run_id).is_dir()


def test_a_resumed_study_goes_on_in_the_same_runs_with_each_point_once(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str
) -> None:
    first = make_tracker()
    first.start_run("a1", name="trial", params={"order": "none"})
    first.log_metrics("a1", 1000, {"fd": 9.0})
    first.log_metrics("a1", 2000, {"fd": 8.0})
    assert first.close(30) == ""

    second = make_tracker()
    second.start_run("a1", name="trial", params={"order": "none"})
    second.log_metrics("a1", 2000, {"fd": 8.0, "loss": 0.5})  # said again, as by a run that resumes from a checkpoint
    second.log_metrics("a1", 3000, {"fd": 7.0})
    second.end_run("a1", status="FINISHED")
    assert second.close(30) == ""

    run = runs_of(experiment)["trial"]
    assert curve(uri, run, "fd") == [(1000, 9.0), (2000, 8.0), (3000, 7.0)]
    assert curve(uri, run, "loss") == [(2000, 0.5)]
    assert run.info.status == "FINISHED"


def test_a_run_that_had_ended_and_goes_on_is_running_again(
    make_tracker: MakeTracker, runs_of: RunsOf, experiment: str
) -> None:
    tracker = make_tracker()
    tracker.start_run(STUDY, name="quick", params={"trials": "20"})
    tracker.end_run(STUDY, status="FINISHED")
    assert tracker.flush(30) == ""
    tracker.start_run(STUDY, name="quick", params={"trials": "40", "seeds": "5"})
    assert tracker.close(30) == ""
    run = runs_of(experiment)["quick"]
    assert run.info.status == "RUNNING"
    assert run.data.params == {"trials": "20", "seeds": "5"}  # MLflow keeps the first value of a param


def test_a_run_that_ends_again_has_the_values_of_its_last_end(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str
) -> None:
    ends = ({"p_value": 0.3, "difference": -1.0}, {"p_value": 0.01, "difference": -1.0}, {"p_value": 0.3})
    for i, values in enumerate(ends):
        tracker = make_tracker()
        tracker.start_run(STUDY, name="quick")
        tracker.end_run(STUDY, status="FINISHED", best=values)
        tracker.end_run(STUDY, status="FINISHED", best=values)
        assert tracker.close(30) == ""
        run = runs_of(experiment)["quick"]
        assert run.data.metrics == {"difference": -1.0, "p_value": values["p_value"]}
        history = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, "p_value")
        assert [point.value for point in history] == [0.3, 0.01, 0.3][: i + 1]
        assert curve(uri, run, "difference") == [(0, -1.0)]


def test_a_run_that_begins_anew_and_ends_earlier_has_the_values_of_its_last_end(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str
) -> None:
    tracker = make_tracker()
    tracker.start_run("a1", name="trial")
    tracker.log_metrics("a1", 1000, {"fd": 9.0})
    tracker.log_metrics("a1", 2000, {"fd": 8.0})
    tracker.end_run("a1", status="FINISHED", best={"best_fd": 8.0})
    tracker.log_metrics("a1", 1000, {"fd": 9.5, "loss": 0.5})
    tracker.end_run("a1", status="FAILED", best={"best_fd": 9.5})
    assert tracker.close(30) == ""
    run = runs_of(experiment)["trial"]
    assert run.data.metrics == {"fd": 8.0, "loss": 0.5, "best_fd": 9.5}
    assert curve(uri, run, "fd") == [(1000, 9.0), (2000, 8.0)]


def test_what_mlflow_has_is_not_doubled_when_nobody_remembers_how_much_was_sent(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str, tmp_path: Path
) -> None:
    first = make_tracker()
    first.start_run("a1", name="trial")
    first.log_metrics("a1", 1000, {"fd": 9.0})
    assert first.close(30) == ""
    (tmp_path / "study" / "sent.json").unlink()

    second = make_tracker()
    second.log_metrics("a1", 2000, {"fd": 8.0})
    assert second.close(30) == ""
    runs = runs_of(experiment)
    assert set(runs) == {"quick", "trial"}
    assert curve(uri, runs["trial"], "fd") == [(1000, 9.0), (2000, 8.0)]


def test_another_destination_gets_the_study_from_its_beginning(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str
) -> None:
    first = make_tracker()
    first.start_run("a1", name="trial")
    first.log_metrics("a1", 1000, {"fd": 9.0})
    assert first.close(30) == ""

    second = make_tracker(experiment=f"{experiment} moved")
    second.log_metrics("a1", 2000, {"fd": 8.0})
    assert second.close(30) == ""
    assert curve(uri, runs_of(f"{experiment} moved")["trial"], "fd") == [(1000, 9.0), (2000, 8.0)]


def test_a_new_study_of_an_old_name_gets_runs_of_its_own(make_tracker: MakeTracker, uri: str, experiment: str) -> None:
    for folder in ("study", "another"):
        tracker = make_tracker(folder)
        tracker.start_run("a1", name="trial")
        assert tracker.close(30) == ""
    runs = tracked_runs(uri, experiment)
    assert sorted(run.info.run_name for run in runs) == ["quick", "quick", "trial", "trial"]


def test_what_mlflow_will_never_take_is_named_and_the_rest_arrives(
    make_tracker: MakeTracker, runs_of: RunsOf, experiment: str, uri: str, tmp_path: Path
) -> None:
    tracker = make_tracker()
    tracker.start_run("a1", name="another", params={"order": "none"})
    tracker.start_run("b2", name="trial")
    tracker.send("a1", [{"kind": "tags", "tags": {"order@end": "none"}}])
    tracker.log_artifact("b2", tmp_path / "samples.png")
    tracker.log_metrics("b2", 1000, {"fd": 8.0})
    problems = tracker.close(30)
    assert "run a1: order@end" in problems
    assert "samples.png" in problems
    assert runs_of(experiment)["another"].data.params == {"order": "none"}
    assert runs_of(experiment)["trial"].data.metrics == {"fd": 8.0}


def test_without_a_server_nobody_waits_and_nothing_is_lost(
    make_tracker: MakeTracker, runs_of: RunsOf, uri: str, experiment: str, tmp_path: Path
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://user:secret@127.0.0.1:{unused.getsockname()[1]}"
        tracker = make_tracker(uri=nowhere)
        tracker.start_run("a1", name="trial")
        tracker.log_metrics("a1", 1000, {"fd": 9.0})
        unsent = tracker.close(2)
    assert "2 records have not reached MLflow" in unsent
    assert "Connection refused" in unsent
    assert "secret" not in unsent
    later = make_tracker()
    later.end_run("a1", status="FINISHED")
    assert later.close(30) == ""
    assert curve(uri, runs_of(experiment)["trial"], "fd") == [(1000, 9.0)]


def test_the_check_says_what_is_wrong_with_the_store(make_tracker: MakeTracker, uri: str, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match=r"http://127.0.0.1:\d+: .*Connection refused; start it, or set MLFLOW_"):
            make_tracker("a", uri=f"http://127.0.0.1:{unused.getsockname()[1]}").check()
    with pytest.raises(ValueError, match=r"mlruns.*maintenance mode"):
        make_tracker("b", uri=str(tmp_path / "mlruns")).check()
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"mlflow\.db: .*File exists"):
        make_tracker("c", uri=f"sqlite:///{tmp_path}/file/mlflow.db").check()


def test_the_check_names_an_experiment_that_its_user_has_deleted(
    make_tracker: MakeTracker, uri: str, experiment: str
) -> None:
    make_tracker().check()
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    client.delete_experiment(found.experiment_id)
    with pytest.raises(ValueError, match=f"{experiment} has been deleted"):
        make_tracker("other").check()


def test_the_users_store_wins_over_the_embedded_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example:5000")
    assert tracking_uri(tmp_path) == "http://tracking.example:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"


def test_the_journal_is_plain_json_and_holds_the_time_of_every_record(
    make_tracker: MakeTracker, tmp_path: Path
) -> None:
    tracker = make_tracker()
    tracker.send("a1", [{"kind": "metrics", "time": 12.5, "images": 64, "metrics": {"fd": 1.0}}])
    tracker.log_metrics("a1", 128, {"fd": 0.5})
    lines = [json.loads(line) for line in (tmp_path / "study" / "journal.jsonl").read_text().splitlines()]
    assert lines[1] == {"run": "a1", "time": 12.5, "kind": "metrics", "images": 64, "metrics": {"fd": 1.0}}
    assert lines[2]["time"] > 1.7e9
