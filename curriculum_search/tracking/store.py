"""The only code that speaks to MLflow."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY = "study"  #: the key of the study's own run, the parent of all others
STUDY_TAG, RUN_TAG = "curriculum_search.study", "curriculum_search.run"

_MAX_METRICS, _MAX_PARAMS, _MAX_TAGS = 800, 100, 100  # in one call of log_batch, 1,000 in all
_SERVER = ("http", "https", "databricks")
_PERMANENT = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST")


def tracking_uri(folder: Path) -> str:
    """Where runs are tracked: MLFLOW_TRACKING_URI, or else a SQLite file ``mlflow.db`` in `folder`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(folder / 'mlflow.db').absolute()}"


class MlflowStore:
    """One study in MLflow: an experiment, a parent run for the study and a child run for every trial.

    Everything may be done twice with the same effect: runs are found again by their tags, and a point that has been
    logged with the same time stamp is not logged again.

    Args:
        uri: of the tracking server or database.
        experiment: the name of MLflow's experiment, which may hold several studies.
        study: the name of the study's run.
        study_id: tells this study from an earlier one of the same name.
        runs: known runs, from key to MLflow's id; added to as runs are made.
    """

    def __init__(self, uri: str, *, experiment: str, study: str, study_id: str, runs: dict[str, str]) -> None:
        self.uri = uri
        self.runs = runs
        self._experiment = experiment
        self._study = study
        self._study_id = study_id
        self._client: MlflowClient | None = None
        self._experiment_id = ""

    @property
    def is_server(self) -> bool:
        """Whether `uri` is a server, not a database that this process opens itself."""
        return urlsplit(self.uri).scheme in _SERVER

    def page(self) -> str:
        """What shows the study: the address of its page, or for a database the command that opens it."""
        if self.is_server:
            return f"{shown(self.uri).rstrip('/')}/#/experiments/{self._experiment_id}"
        return f"mlflow ui --backend-store-uri {shown(self.uri)}"

    def load_client(self) -> "type[MlflowClient]":
        """Import MLflow, which takes seconds, with settings for a client that retries by itself."""
        # MLflow's own 7 retries of up to 120 s each would keep the thread for many minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # "Creating initial MLflow tables..."
        from mlflow import MlflowClient

        return MlflowClient

    def connect(self) -> None:
        """Open the experiment, making it if need be.

        Raises:
            Exception: whatever MLflow, its database or the network raise.
        """
        if self._client is not None:
            return
        client = self.load_client()(tracking_uri=self.uri)
        found = client.get_experiment_by_name(self._experiment)
        if found is not None and found.lifecycle_stage != "active":
            raise ValueError(f"its experiment {self._experiment} has been deleted; restore it there, or rename it here")
        self._experiment_id = found.experiment_id if found else self._create_experiment(client)
        self._client = client

    def write(self, records: Iterable[Mapping[str, Any]], *, search: bool) -> dict[str, str]:
        """Bring MLflow up to date with `records`; run key to reason for what it will never take.

        Args:
            records: see `tracker`.
            search: look for runs that are not in `runs` before making them: they may have been made by a process, or
                in an attempt, that failed afterwards.

        Raises:
            Exception: what may pass: a server that does not answer, a locked database.  All of it is to be tried again.
        """
        self.connect()
        by_run: dict[str, list[Mapping[str, Any]]] = {}
        for record in records:
            by_run.setdefault(record["run"], []).append(record)
        refused = {}
        for key, own in by_run.items():
            try:
                gone = self._write_run(key, own, search)
            except Exception as error:
                if getattr(error, "error_code", None) not in _PERMANENT:
                    raise
                refused[key] = reason(error)
            else:
                if gone:
                    refused[key] = f"{', '.join(gone)}: no such file any more"
        return refused

    def _create_experiment(self, client: "MlflowClient") -> str:
        # Without a server, a relative location would mean another folder wherever the page is opened.
        location = None if self.is_server else (_database_folder(self.uri) / "mlartifacts").absolute().as_uri()
        # The kind opens the page on runs and their charts.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        created: str = client.create_experiment(self._experiment, artifact_location=location, tags=tags)
        return created

    def _write_run(self, key: str, records: list[Mapping[str, Any]], search: bool) -> list[str]:
        """Write one run's records; the artifacts that are no longer there."""
        from mlflow.entities import Metric, Param, RunTag

        assert self._client is not None
        start = next((r for r in records if r["kind"] == "start"), None)
        is_known = key in self.runs
        run_id = self._run_id(key, start, search)
        metrics = [
            Metric(name, value, round(r["time"] * 1000), r["images"])
            for r in records
            for name, value in r.get("metrics", {}).items()
        ]
        params = [Param(name, value) for r in records for name, value in r.get("params", {}).items()]
        tags = [RunTag(name, value) for r in records for name, value in r.get("tags", {}).items()]
        while metrics or params or tags:
            self._client.log_batch(run_id, metrics[:_MAX_METRICS], params[:_MAX_PARAMS], tags[:_MAX_TAGS])
            metrics, params, tags = metrics[_MAX_METRICS:], params[_MAX_PARAMS:], tags[_MAX_TAGS:]
        gone = []
        for record in records:
            if record["kind"] == "artifact":
                if Path(record["path"]).is_file():
                    self._client.log_artifact(run_id, record["path"], record["folder"] or None)
                else:
                    gone.append(record["path"])
        last = next((r for r in reversed(records) if r["kind"] in ("start", "end")), None)
        if last is not None and last["kind"] == "end":
            self._client.set_terminated(run_id, last["status"], round(last["time"] * 1000))
        elif last is not None and is_known:
            self._client.update_run(run_id, status="RUNNING")
        return gone

    def _run_id(self, key: str, start: Mapping[str, Any] | None, search: bool) -> str:
        if key in self.runs:
            return self.runs[key]
        assert self._client is not None
        run_id = self._find(key) if search else None
        if run_id is None:
            tags = {STUDY_TAG: self._study_id, RUN_TAG: key}
            if key != STUDY:
                tags["mlflow.parentRunId"] = self._run_id(STUDY, None, search)
            name = start["name"] if start else self._study if key == STUDY else key
            time = round(start["time"] * 1000) if start else None
            run_id = self._client.create_run(self._experiment_id, time, tags, name).info.run_id
        self.runs[key] = run_id
        return run_id

    def _find(self, key: str) -> str | None:
        assert self._client is not None
        runs = self._client.search_runs(
            [self._experiment_id],
            filter_string=f"tags.`{STUDY_TAG}` = '{self._study_id}' and tags.`{RUN_TAG}` = '{key}'",
            max_results=1,
        )
        return runs[0].info.run_id if runs else None


def reason(error: BaseException) -> str:
    """What went wrong at the bottom of it, on one line."""
    while deeper := error.__cause__ or error.__context__:
        error = deeper
    return " ".join((str(error) or type(error).__name__).split())[:300]


def shown(uri: str) -> str:
    """`uri` without a password."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()


def _database_folder(uri: str) -> Path:
    if uri.startswith("sqlite:///"):
        return Path(uri.removeprefix("sqlite:///")).parent
    return Path()
