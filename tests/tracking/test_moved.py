"""Results in folders of any name, and results that are moved."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from mlflow import MlflowClient
from support.mlflow_server import free_port
from support.tracked import experiment_id

from curriculum_search.tracking import STUDY, Tracker, tracking_uri

MakeResults = Callable[[str], Path]


@pytest.fixture(autouse=True)
def embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def make_results(tmp_path: Path, _templates: tuple[Path, Path]) -> MakeResults:
    """A folder of results with an empty database."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(_templates[1], folder / "mlflow.db")
        return folder

    return make


def study_in(results: Path) -> Tracker:
    return Tracker(results / "quick" / "tracking", uri=tracking_uri(results), study="quick", experiment="studies")


def write(results: Path, key: str) -> Path:
    """A run's config, as its folder has it."""
    path = results / "quick" / "runs" / key / "experiment.json"
    path.parent.mkdir(parents=True)
    path.write_text(key)
    return path


def tell(tracker: Tracker, results: Path, key: str) -> None:
    tracker.start_run(key, name=key)
    tracker.log_artifact(key, write(results, key))


def artifacts(results: Path) -> dict[str, str]:
    """Run to what its config holds, as MLflow gives it out."""
    client = MlflowClient(tracking_uri(results))
    found = client.search_runs([experiment_id(client, "studies")])
    trials = [run.info for run in found if "mlflow.parentRunId" in run.data.tags]
    for run in trials:
        assert [file.path for file in client.list_artifacts(run.run_id)] == ["experiment.json"]
    files = {run.run_name: Path(unquote(urlsplit(run.artifact_uri).path), "experiment.json") for run in trials}
    assert all(path.is_relative_to(results / "mlartifacts") for path in files.values())
    return {name: path.read_text() for name, path in files.items()}


NAMES = ["feature%2Fx", "run?v=2", "100%", "%41", "a b#c&d", "größe+1", "it's", "a:b@c", "x;y=[1]"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name_has_the_database_and_the_artifacts_inside_it(
    make_results: MakeResults, name: str
) -> None:
    results = make_results(name)
    tracker = study_in(results)
    tracker.check()
    tracker.start_run(STUDY, name="quick")
    tell(tracker, results, "a1")
    assert tracker.close(60) == ""
    assert artifacts(results) == {"a1": "a1"}
    assert list((results / "mlartifacts").rglob("experiment.json"))
    assert os.listdir(results.parent) == [name]
    assert set(os.listdir(results)) == {"mlflow.db", "mlartifacts", "quick"}


def test_a_database_that_is_not_there_yet_is_made_in_a_folder_of_any_name(tmp_path: Path) -> None:
    results = tmp_path / "v?1%2F2"
    results.mkdir()
    study_in(results).check()
    assert os.listdir(tmp_path) == ["v?1%2F2"]
    assert set(os.listdir(results)) == {"mlflow.db", "quick"}


def test_the_line_that_opens_mlflow_works_in_a_shell(make_results: MakeResults) -> None:
    results = make_results("it's run?v=2 100%2F")
    tracker = study_in(results)
    tracker.start_run(STUDY, name="quick")
    assert tracker.close(60) == ""
    port = free_port()
    line, _, address = tracker.page().partition("  # ")
    program, *arguments = shlex.split(tracker.page(), comments=True)
    assert (program, address[:22]) == ("mlflow", "http://127.0.0.1:5000/")
    command = f"exec {shlex.quote(sys.executable)} -m {line} --port {port} --workers 1"
    assert arguments == ["ui", "--backend-store-uri", tracking_uri(results)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    folder = results.parent / "elsewhere"
    folder.mkdir()
    with open(results.parent / "ui.log", "wb") as log:
        process = subprocess.Popen(
            command, shell=True, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, (results.parent / "ui.log").read_text()
            assert time.monotonic() < deadline, (results.parent / "ui.log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).read()
                break
            except OSError:
                time.sleep(0.1)
        assert MlflowClient(f"http://127.0.0.1:{port}").get_experiment_by_name("studies") is not None
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_after_a_move_old_and_new_artifacts_are_in_the_new_place_alone(make_results: MakeResults) -> None:
    before = make_results("before")
    tracker = study_in(before)
    tracker.start_run(STUDY, name="quick")
    tell(tracker, before, "a1")
    assert tracker.close(60) == ""
    after = before.rename(before.with_name("after?100%"))

    tracker = study_in(after)
    tracker.start_run(STUDY, name="quick")
    tell(tracker, after, "b2")
    assert tracker.close(60) == ""
    assert artifacts(after) == {"a1": "a1", "b2": "b2"}
    assert not before.exists()


def test_of_a_copy_and_its_original_each_has_its_own(make_results: MakeResults) -> None:
    original = make_results("original")
    tracker = study_in(original)
    tracker.start_run(STUDY, name="quick")
    tell(tracker, original, "a1")
    assert tracker.close(60) == ""
    copy = Path(shutil.copytree(original, original.with_name("copy")))
    for results, key in ((copy, "b2"), (original, "c3")):
        tracker = study_in(results)
        tracker.start_run(STUDY, name="quick")
        tell(tracker, results, key)
        assert tracker.close(60) == ""
    assert artifacts(copy) == {"a1": "a1", "b2": "b2"}
    assert artifacts(original) == {"a1": "a1", "c3": "c3"}


def test_a_location_that_its_user_chose_stays(make_results: MakeResults, tmp_path: Path) -> None:
    results = make_results("results")
    chosen = tmp_path / "chosen"
    client = MlflowClient(tracking_uri(results))
    client.create_experiment("studies", artifact_location=chosen.as_uri())
    tracker = study_in(results)
    tell(tracker, results, "a1")
    assert tracker.close(60) == ""
    assert [path.read_text() for path in chosen.rglob("experiment.json")] == ["a1"]


def test_what_had_not_been_sent_before_a_move_is_found_after_it(
    make_results: MakeResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make_results("before")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{unused.getsockname()[1]}")
        tracker = study_in(before)
        tracker.start_run(STUDY, name="quick")
        tell(tracker, before, "a1")
        assert "3 records" in tracker.close(1)
    journal = before / "quick" / "tracking" / "journal.jsonl"
    assert str(before) not in journal.read_text()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    after = before.rename(before.with_name("after"))
    tracker = study_in(after)
    tracker.catch_up()
    assert tracker.close(60) == ""
    assert artifacts(after) == {"a1": "a1"}


@pytest.mark.parametrize("moved", [False, True])
def test_a_journal_with_absolute_paths_is_read_where_it_was_and_after_a_move(
    make_results: MakeResults, moved: bool
) -> None:
    results = make_results("before")
    config = write(results, "a1")
    records = [
        {"kind": "study", "run": STUDY, "id": "0" * 32},
        {"run": STUDY, "time": 1.0, "kind": "start", "name": "quick", "params": {}, "tags": {}},
        {"run": "a1", "time": 2.0, "kind": "start", "name": "a1", "params": {}, "tags": {}},
        {"run": "a1", "time": 3.0, "kind": "artifact", "path": str(config), "folder": ""},
    ]
    journal = results / "quick" / "tracking" / "journal.jsonl"
    journal.parent.mkdir()
    journal.write_text("".join(json.dumps(record) + "\n" for record in records))
    if moved:
        results = results.rename(results.with_name("after"))
    tracker = study_in(results)
    tracker.catch_up()
    assert tracker.close(60) == ""
    assert artifacts(results) == {"a1": "a1"}
