"""One SQLite store for all tests, each with an experiment of its own: setting one up takes seconds."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.entities import Run
from support.tracked import MakeTracker, RunsOf, tracked_runs

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
def make_tracker(uri: str, experiment: str, tmp_path: Path) -> Iterator[MakeTracker]:
    """Trackers that are left open are closed."""
    own_uri, own_experiment, trackers = uri, experiment, list[Tracker]()

    def make(folder: str = "study", *, experiment: str = "", uri: str = "") -> Tracker:
        trackers.append(
            Tracker(tmp_path / folder, uri=uri or own_uri, study="quick", experiment=experiment or own_experiment)
        )
        return trackers[-1]

    yield make
    for tracker in trackers:
        tracker.close(0)


@pytest.fixture
def runs_of(uri: str) -> RunsOf:
    """The runs of an experiment by name, as MLflow has them; two of one name are an error."""

    def runs(experiment: str) -> dict[str, Run]:
        found = tracked_runs(uri, experiment)
        by_name = {run.info.run_name: run for run in found}
        assert len(by_name) == len(found)
        return by_name

    return runs
