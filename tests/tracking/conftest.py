"""One SQLite store for all tests, each with an experiment of its own: setting one up takes seconds."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from curriculum_search.tracking import Tracker, tracking_uri

_COUNTER = itertools.count()


@pytest.fixture(scope="session")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return tracking_uri(folder)


@pytest.fixture
def experiment() -> str:
    return f"experiment {next(_COUNTER)}"


@pytest.fixture
def make_tracker(uri: str, experiment: str, tmp_path: Path) -> Iterator[Callable[..., Tracker]]:
    """Trackers of one study, by default on one folder; those left open are closed."""
    trackers: list[Tracker] = []

    def make(folder: str = "study", experiment: str = experiment, uri: str = uri) -> Tracker:
        trackers.append(Tracker(tmp_path / folder, uri=uri, study="quick", experiment=experiment))
        return trackers[-1]

    yield make
    for tracker in trackers:
        tracker.close(0)


@pytest.fixture
def runs_of(uri: str) -> Callable[[str], dict[str, Run]]:
    """The runs of an experiment by name, as MLflow has them; two of one name are an error."""

    def runs(experiment: str) -> dict[str, Run]:
        client = MlflowClient(tracking_uri=uri)
        found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
        by_name = {run.info.run_name: run for run in found}
        assert len(by_name) == len(found)
        return by_name

    return runs
