"""An MLflow server that goes away in the middle of a study and comes back."""

from pathlib import Path

from mlflow import MlflowClient
from support.mlflow_server import free_port, server

from curriculum_search.tracking import Tracker


def test_a_study_catches_up_when_the_server_comes_back(tmp_path: Path) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    grid = tmp_path / "samples.png"
    grid.write_bytes(b"pixels")
    tracker = Tracker(tmp_path / "study", uri=uri, study="quick", experiment="outage")
    with server(tmp_path, port):
        tracker.check()
        tracker.start_run("a1", name="trial a", params={"order": "none"})
        tracker.log_metrics("a1", 1000, {"fd": 9.0})
        assert tracker.flush(20) == ""

    tracker.log_metrics("a1", 2000, {"fd": 8.0})
    tracker.start_run("b2", name="trial b")
    tracker.log_artifact("b2", grid)
    unsent = tracker.flush(1)
    assert "3 records have not reached MLflow" in unsent
    assert str(tmp_path / "study" / "journal.jsonl") in unsent

    with server(tmp_path, port):
        tracker.end_run("a1", status="FINISHED", best={"best_fd": 8.0})
        assert tracker.close(30) == ""
        assert tracker.page() == f"{uri}/#/experiments/1/runs?workflowType=machine_learning"
        client = MlflowClient(tracking_uri=uri)
        runs = {run.info.run_name: run for run in client.search_runs(["1"])}
        assert set(runs) == {"quick", "trial a", "trial b"}
        points = client.get_metric_history(runs["trial a"].info.run_id, "fd")
        assert [(point.step, point.value) for point in points] == [(1000, 9.0), (2000, 8.0)]
        assert runs["trial a"].data.metrics["best_fd"] == 8.0
        assert runs["trial a"].info.status == "FINISHED"
        assert [f.path for f in client.list_artifacts(runs["trial b"].info.run_id)] == ["samples.png"]
