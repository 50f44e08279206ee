"""An MLflow store that is not what it was: emptied, restored from a backup, or robbed of runs by its users."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from support.mlflow_server import free_port, server
from support.tracked import experiment_id

from curriculum_search.tracking import STUDY, Tracker

EXPERIMENT = "studies"
STEPS = range(1000, 7000, 1000)


class Study:
    """A study of two trials that is told bit by bit, and what MLflow has to have of it."""

    def __init__(self, folder: Path, uri: str, name: str = "quick") -> None:
        self.folder = folder
        self.uri = uri
        self.name = name
        self.told: dict[str, list[int]] = {}
        (folder / "runs").mkdir(parents=True)
        self.open()

    def open(self) -> None:
        """Another command."""
        self.tracker = Tracker(self.folder / "tracking", uri=self.uri, study=self.name, experiment=EXPERIMENT)
        self.tracker.start_run(STUDY, name=self.name, params={"objective": "fd"})

    def begin(self, key: str) -> None:
        config = self.folder / "runs" / f"{key}.json"
        config.write_text(key)
        self.told.setdefault(key, [])
        self.tracker.start_run(key, name=f"trial {key}", params={"order": key}, tags={"role": "searched"})
        self.tracker.log_artifact(key, config)

    def tell(self, key: str, *steps: int) -> None:
        for step in steps:
            self.tracker.log_metrics(key, step, {"fd": 1e4 / step, "loss": 1e3 / step})
            self.told[key].append(step)

    def end(self, *keys: str) -> None:
        for key in (*keys, STUDY):
            self.tracker.end_run(key, status="FINISHED", best={"best_fd": 1.5})

    def close(self) -> str:
        return self.tracker.close(60)

    def in_mlflow(self) -> dict[str, Run]:
        """Its runs that are not deleted, by name; each is there once."""
        client = MlflowClient(self.uri)
        experiments = [found.experiment_id for found in client.search_experiments()]
        tag = f"tags.`curriculum_search.study` = '{self.tracker._study_id}'"
        found = client.search_runs(experiments, filter_string=tag)
        runs = {run.info.run_name: run for run in found}
        assert len(runs) == len(found)
        return runs

    def check(self) -> None:
        """MLflow has all of it, and everything once."""
        client, runs = MlflowClient(self.uri), self.in_mlflow()
        assert set(runs) == {self.name, *(f"trial {key}" for key in self.told)}
        assert runs[self.name].data.params == {"objective": "fd"}
        assert runs[self.name].info.status == "FINISHED"
        for key, steps in self.told.items():
            run = runs[f"trial {key}"]
            assert run.data.tags["mlflow.parentRunId"] == runs[self.name].info.run_id
            assert run.data.tags["role"] == "searched"
            assert run.data.params == {"order": key}
            assert run.info.status == "FINISHED"
            for metric in ("fd", "loss"):
                points = client.get_metric_history(run.info.run_id, metric)
                assert [(p.step, p.value) for p in points] == [(s, (1e4 if metric == "fd" else 1e3) / s) for s in steps]
            assert [point.value for point in client.get_metric_history(run.info.run_id, "best_fd")] == [1.5]
            assert [file.path for file in client.list_artifacts(run.info.run_id)] == [f"{key}.json"]


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Path:
    return Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))


@pytest.fixture
def empty_database(_templates: tuple[Path, Path]) -> Path:
    return _templates[1]


@pytest.fixture
def study(tmp_path: Path, database: Path) -> Iterator[Study]:
    """A study half of which is in MLflow."""
    study = Study(tmp_path / "quick", f"sqlite:///{database}")
    study.begin("a1")
    study.tell("a1", *STEPS[:3])
    assert study.tracker.flush(60) == ""
    yield study
    study.close()


def finish(study: Study) -> None:
    """The second half."""
    study.begin("b2")
    study.tell("b2", *STEPS)
    study.tell("a1", *STEPS[3:])
    study.end("a1", "b2")
    assert study.close() == ""
    study.check()


def emptied(database: Path, empty: Path) -> None:
    os.replace(shutil.copy(empty, database.with_suffix(".new")), database)


def removed(database: Path, empty: Path) -> None:
    database.unlink()


def truncated(database: Path, empty: Path) -> None:
    os.truncate(database, 0)


def emptied_in_place(database: Path, empty: Path) -> None:
    client = MlflowClient(f"sqlite:///{database}")
    found = experiment_id(client, EXPERIMENT)
    client.delete_experiment(found)
    garbage_collect(database, "--experiment-ids", found)


def another_study_in_its_place(database: Path, empty: Path) -> None:
    """Another database, in which ids of experiments are those of the old."""
    emptied(database, empty)
    client = MlflowClient(f"sqlite:///{database}")
    client.create_run(client.create_experiment("not ours"))


def garbage_collect(database: Path, *arguments: str) -> None:
    uri = f"sqlite:///{database}"
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri, *arguments]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": uri}
    subprocess.run(command, check=True, capture_output=True, env=environment)


@pytest.mark.parametrize("when", ["between two commands", "in the middle of a command"])
@pytest.mark.parametrize("lose", [emptied, removed, truncated, emptied_in_place, another_study_in_its_place])
def test_a_store_that_was_emptied_gets_everything_again(
    study: Study, database: Path, empty_database: Path, lose: Callable[[Path, Path], None], when: str
) -> None:
    if when == "between two commands":
        assert study.close() == ""
        lose(database, empty_database)
        study.open()
    else:
        lose(database, empty_database)
    finish(study)


@pytest.mark.parametrize("when", ["between two commands", "in the middle of a command"])
def test_an_older_backup_gets_the_runs_and_the_points_that_it_lacks(study: Study, database: Path, when: str) -> None:
    backup = Path(shutil.copy(database, database.with_suffix(".backup")))
    study.begin("c3")
    study.tell("c3", *STEPS[:2])
    study.tell("a1", *STEPS[3:4])
    assert study.tracker.flush(60) == ""
    if when == "between two commands":
        study.end("a1", "c3")
        assert study.close() == ""
    os.replace(backup, database)
    if when == "between two commands":
        study.open()
    study.begin("b2")
    study.tell("b2", *STEPS)
    study.end("a1", "b2", "c3")
    assert study.close() == ""
    study.check()


def test_a_finished_study_fills_an_emptied_store_when_it_is_only_looked_at_again(
    study: Study, database: Path, empty_database: Path
) -> None:
    finish(study)
    emptied(database, empty_database)
    again = Tracker(study.folder / "tracking", uri=study.uri, study="quick", experiment=EXPERIMENT)
    again.check()
    again.catch_up()
    assert again.close(60) == ""
    study.check()


def test_what_an_outage_held_up_goes_to_a_store_that_was_restored_meanwhile(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as running:
        running.enter_context(server(tmp_path, port))
        backup = Path(shutil.copy(tmp_path / "server.db", tmp_path / "empty.db"))
        study = Study(tmp_path / "quick", f"http://127.0.0.1:{port}")
        study.begin("a1")
        study.tell("a1", *STEPS[:3])
        assert study.tracker.flush(60) == ""
    study.tell("a1", *STEPS[3:])
    assert "2 records" not in study.tracker.flush(1)
    os.replace(backup, tmp_path / "server.db")
    with server(tmp_path, port):
        study.begin("b2")
        study.tell("b2", *STEPS)
        study.end("a1", "b2")
        assert study.close() == ""
        study.check()


@pytest.mark.parametrize("when", ["between two commands", "in the middle of a command"])
@pytest.mark.parametrize("for_good", [False, True], ids=["deleted", "purged"])
@pytest.mark.parametrize("victim", ["trial a1", "quick"])
def test_a_deleted_run_that_goes_on_is_made_anew_with_all_its_points(
    study: Study, database: Path, victim: str, for_good: bool, when: str
) -> None:
    if when == "between two commands":
        assert study.close() == ""
    run_id = study.in_mlflow()[victim].info.run_id
    MlflowClient(study.uri).delete_run(run_id)
    if for_good:
        garbage_collect(database, "--run-ids", run_id)
    if when == "between two commands":
        study.open()
    finish(study)


def test_a_deleted_run_that_has_ended_stays_deleted(study: Study) -> None:
    study.end("a1")
    assert study.close() == ""
    MlflowClient(study.uri).delete_run(study.in_mlflow()["trial a1"].info.run_id)
    study.open()
    study.begin("b2")
    study.end("b2")
    assert study.close() == ""
    assert set(study.in_mlflow()) == {"quick", "trial b2"}


def test_a_deleted_experiment_is_named_with_the_command_that_restores_it(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(study.uri)
    client.delete_experiment(experiment_id(client, EXPERIMENT))
    study.begin("b2")
    study.tell("b2", *STEPS)
    assert "experiment studies has been deleted" in study.tracker.close(5)

    study.tracker = Tracker(study.folder / "tracking", uri=study.uri, study="quick", experiment=EXPERIMENT)
    with pytest.raises(ValueError, match="has been deleted; this restores it: MLFLOW_TRACKING_URI=") as error:
        study.tracker.check()
    command = str(error.value).partition("this restores it: ")[2]
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    subprocess.run(command, shell=True, check=True, capture_output=True)
    study.open()
    study.tracker.check()
    study.tell("a1", *STEPS[3:])
    study.end("a1", "b2")
    assert study.close() == ""
    study.check()


def test_an_experiment_that_was_renamed_keeps_the_study(study: Study) -> None:
    assert study.close() == ""
    client = MlflowClient(study.uri)
    client.rename_experiment(experiment_id(client, EXPERIMENT), "older studies")
    study.open()
    study.tracker.check()
    finish(study)
    assert {found.name for found in client.search_experiments(ViewType.ALL)} == {"Default", "older studies"}


def test_two_studies_of_one_name_fill_an_emptied_store_each_with_its_own(
    study: Study, tmp_path: Path, database: Path, empty_database: Path
) -> None:
    other = Study(tmp_path / "other" / "quick", study.uri)
    other.begin("a1")
    other.tell("a1", *STEPS[:3])
    finish(other)
    emptied(database, empty_database)
    finish(study)
    other.open()
    other.end()
    assert other.close() == ""
    other.check()
    study.check()
