"""Trackers, and what MLflow has of them."""

from collections.abc import Callable
from typing import Protocol

from mlflow import MlflowClient
from mlflow.entities import Run

from curriculum_search.tracking import Tracker


class MakeTracker(Protocol):
    """Opens a tracker of one study: by default on one folder, and in the test's own experiment and store."""

    def __call__(self, folder: str = "study", *, experiment: str = "", uri: str = "") -> Tracker: ...


#: The runs of an experiment by name.
RunsOf = Callable[[str], dict[str, Run]]


def tracked_runs(uri: str, experiment: str = "curriculum-search", matching: str = "") -> list[Run]:
    """The runs of an experiment, which must be there, in the order in which they began.

    Args:
        uri: of the tracking server or database.
        experiment: its name.
        matching: MLflow's filter; empty: all of them.
    """
    client = MlflowClient(tracking_uri=uri)
    return list(client.search_runs([experiment_id(client, experiment)], matching, order_by=["start_time"]))


def experiment_id(client: MlflowClient, name: str) -> str:
    """MLflow's id of an experiment, which must be there."""
    found = client.get_experiment_by_name(name)
    assert found is not None, f"no experiment {name} at {client.tracking_uri}"
    return str(found.experiment_id)
