"""The only code that speaks to MLflow."""

import logging
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from curriculum_search.tracking import database, exhibits, views
from curriculum_search.tracking.database import shown
from curriculum_search.tracking.exhibits import STUDY_TAG
from curriculum_search.tracking.run_log import Line

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Metric, Run

STUDY = "study"  #: the key of the study's own run, the parent of all others
RUN_TAG = "curriculum_search.run"
#: Up to which line of the journal MLflow has a run (`Line.mark`); on the study's own run, up to which it has them all.
SENT_TAG = "curriculum_search.sent"
_PARENT_TAG = "mlflow.parentRunId"
_KIND_TAG, _KIND = "mlflow.experimentKind", "custom_model_development"

_MAX_METRICS, _MAX_PARAMS, _MAX_TAGS = 800, 100, 99  # in one call of log_batch, 1,000 in all; a tag is `SENT_TAG`
_MAX_FOUND = 500  # runs in an answer
_SERVER = ("http", "https", "databricks")
_GONE = "RESOURCE_DOES_NOT_EXIST"
_PERMANENT = ("INVALID_PARAMETER_VALUE", _GONE, "INVALID_STATE", "BAD_REQUEST")


class ExperimentDeletedError(ValueError):
    """MLflow's experiment has been deleted and can be restored; only its user can say which it is to be."""


@dataclass
class _Known:
    """A run in MLflow.

    Attributes:
        id: MLflow's.
        sent: bytes of the journal within which MLflow has all that the journal says of it.
        mark: what its `SENT_TAG` says.
        is_deleted: whether its user has deleted it.
        parent: MLflow's id of the run above it.
        metrics: whose points are to be looked up before others are added, since nothing says which the run has.
        histories: of those, as far as they have been looked up.
    """

    id: str
    sent: int = 0
    mark: str = ""
    is_deleted: bool = False
    parent: str = ""
    metrics: frozenset[str] = frozenset()
    histories: dict[str, "list[Metric]"] = field(default_factory=dict)


class MlflowStore:
    """One study in MLflow: an experiment, a parent run for the study and a child run for every trial.

    What MLflow has is asked of MLflow, which may have been emptied, or be an older backup of itself: every run there
    carries tags with the study's id, its key, and the last line of the journal that it has (`SENT_TAG`).

    Everything may be done twice with the same effect: MLflow leaves out a point that it has with the same time stamp.

    Args:
        uri: of the tracking server or database.
        experiment: the name of MLflow's experiment, which may hold several studies.
        experiment_id: of the experiment that had the study last; "" if that is not known.
        study: the name of the study's run.
        study_id: tells this study from an earlier one of the same name.
        base: where relative paths in the journal begin.
    """

    def __init__(self, uri: str, *, experiment: str, experiment_id: str, study: str, study_id: str, base: Path) -> None:
        self.uri = uri
        self.experiment_id = experiment_id
        self._experiment = experiment
        self._study = study
        self._study_id = study_id
        self._base = base
        self._client: MlflowClient | None = None
        self._has_failed = False
        self._runs: dict[str, _Known] = {}

    @property
    def is_server(self) -> bool:
        """Whether `uri` is a server, not a database that this process opens itself."""
        return urlsplit(self.uri).scheme in _SERVER

    def page(self, view: str = "") -> str:
        """What shows the study: see `views.page`."""
        return views.page(self.uri, self.experiment_id, view, is_server=self.is_server)

    def load_client(self) -> "type[MlflowClient]":
        """Import MLflow, which takes seconds, with settings for a client that retries by itself."""
        # MLflow's own 7 retries of up to 120 s each would keep the thread for many minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        if database.file(self.uri) is not None:  # A connection that is kept would write to a file that was removed.
            os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        # "Creating initial MLflow tables...", and the traces of errors that are told here.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        from mlflow import MlflowClient

        return MlflowClient

    def connect(self) -> None:
        """Open the experiment, making it if need be.

        Raises:
            ExperimentDeletedError: its user has deleted it.
            Exception: whatever MLflow, its database or the network raise.
        """
        if self._client is not None:
            return
        client = self.load_client()(tracking_uri=self.uri)
        if self._has_failed and not self.is_server:
            database.complete(self.uri)
        found = self._find_experiment(client)
        if found is None:
            self.experiment_id = self._create_experiment(client)
        elif found.lifecycle_stage != "active":
            restore = f"mlflow experiments restore --experiment-id {found.experiment_id}"
            raise ExperimentDeletedError(
                f"its experiment {found.name} has been deleted; this restores it: "
                f"MLFLOW_TRACKING_URI={shlex.quote(shown(self.uri))} {restore}"
            )
        else:
            self.experiment_id = found.experiment_id
            if _KIND_TAG not in found.tags:
                client.set_experiment_tag(found.experiment_id, _KIND_TAG, _KIND)
            database.follow_move(self.uri, found.experiment_id, found.artifact_location)
        self._client = client

    def disconnect(self) -> None:
        """Take nothing that was known of MLflow for granted any more."""
        self._client = None
        self._has_failed = True

    def find_runs(self, lines: Sequence[Line]) -> int:
        """Ask MLflow for the study's runs and what they have.

        A run that was deleted stays deleted, unless the journal has more of it: then it is made anew.

        Args:
            lines: of the journal, all of them.

        Returns:
            From which byte on the journal has what MLflow lacks.

        Raises:
            Exception: see `write`.
        """
        ends = {line.mark: line.end for line in lines}
        last = {line.record["run"]: line.end for line in lines if line.record["kind"] != "study"}
        runs: dict[str, _Known] = {}
        for run in self._search():
            tags = run.data.tags
            mark = tags.get(SENT_TAG, "")
            sent = ends.get(mark, 0)
            known = _Known(
                run.info.run_id,
                sent,
                mark,
                is_deleted=run.info.lifecycle_stage != "active",
                parent=tags.get(_PARENT_TAG, ""),
                metrics=frozenset() if sent else frozenset(run.data.metrics),
            )
            key = tags[RUN_TAG]
            if known.is_deleted and sent < last.get(key, 0):
                continue
            if key not in runs or (runs[key].is_deleted, -runs[key].sent) > (known.is_deleted, -sent):
                runs[key] = known
        self._runs = runs
        self._gather_children()
        return next((line.start for line in lines if self.lacks(line)), lines[-1].end if lines else 0)

    def lacks(self, line: Line) -> bool:
        """Whether MLflow, as far as is known, does not have what a line of the journal says."""
        run = self._runs.get(line.record["run"])
        return line.record["kind"] != "study" and (run is None or run.sent < line.end)

    def write(self, lines: Iterable[Line]) -> dict[str, list[str]]:
        """Bring MLflow up to date with lines of the journal; run key to what it will never take, and why.

        Args:
            lines: see `tracker`; those that MLflow has are left out.

        Raises:
            Exception: what may pass (a server that does not answer, a locked database), and what calls for a new look
                at what is there (`disconnect`, `connect`, `find_runs`): it is not what it was.
        """
        by_run: dict[str, list[Line]] = {}
        for line in lines:
            if self.lacks(line):
                by_run.setdefault(line.record["run"], []).append(line)
        if not by_run:
            return {}
        self._check_unchanged()
        refused: dict[str, list[str]] = {}
        for key, own in by_run.items():
            try:
                problems = self._write_run(key, own)
            except Exception as error:
                if not self._is_refusal(error, key):
                    raise
                problems = [reason(error)]
            if problems:
                refused[key] = problems
            if key in self._runs:
                self._runs[key].sent = own[-1].end
        self._mark_study(max((own[-1] for own in by_run.values()), key=lambda line: line.end))
        return refused

    def _check_unchanged(self) -> None:
        """Raise RuntimeError where MLflow is not as it was left, as after it was restored from a backup."""
        assert self._client is not None
        study = self._runs.get(STUDY)
        if study is not None and self._client.get_run(study.id).data.tags.get(SENT_TAG, "") != study.mark:
            raise RuntimeError("it is not as it was left: restored from a backup, or written to by another command")

    def _mark_study(self, line: Line) -> None:
        assert self._client is not None
        study = self._runs.get(STUDY)
        if study is not None and not study.is_deleted and study.mark != line.mark:
            self._client.set_tag(study.id, SENT_TAG, line.mark)
            study.mark = line.mark

    def _find_experiment(self, client: "MlflowClient") -> "Experiment | None":
        """The experiment that has the study, even under another name by now, or else the one of the name."""
        from mlflow.exceptions import MlflowException

        if self.experiment_id:
            try:
                known: Experiment = client.get_experiment(self.experiment_id)
                if self._page(client, self.experiment_id, 1):
                    return known
            except MlflowException as error:
                if error.error_code != _GONE:
                    raise
        found: Experiment | None = client.get_experiment_by_name(self._experiment)
        return found

    def _create_experiment(self, client: "MlflowClient") -> str:
        # Without a server, a relative location would mean another folder wherever the page is opened.
        location = None if self.is_server else database.artifacts(self.uri).as_uri()
        created: str = client.create_experiment(self._experiment, artifact_location=location, tags={_KIND_TAG: _KIND})
        return created

    def _search(self) -> "list[Run]":
        """All runs of the study, those deleted included."""
        assert self._client is not None
        found = page = self._page(self._client, self.experiment_id, _MAX_FOUND)
        while page.token:
            page = self._page(self._client, self.experiment_id, _MAX_FOUND, page.token)
            found = found + page
        return list(found)

    def _page(self, client: "MlflowClient", experiment_id: str, max_results: int, token: str | None = None) -> Any:
        from mlflow.entities import ViewType

        return client.search_runs(
            [experiment_id],
            filter_string=f"tags.`{STUDY_TAG}` = '{self._study_id}'",
            run_view_type=ViewType.ALL,
            max_results=max_results,
            page_token=token,
        )

    def _write_run(self, key: str, lines: Sequence[Line]) -> list[str]:
        """Write one run's lines; what of them is refused or no longer there."""
        from mlflow.entities import Metric, Param, RunTag

        assert self._client is not None
        records = [line.record for line in lines]
        is_known = key in self._runs
        run = self._run(key, next((r for r in records if r["kind"] == "start"), None))
        place = exhibits.Place(
            client=self._client,
            experiment_id=self.experiment_id,
            study_id=self._study_id,
            study_run=self._run(STUDY, None).id,
            run=run.id,
            base=self._base,
        )
        problems = [problem for record in records if (problem := exhibits.show(place, record))]
        last = next((r for r in reversed(records) if r["kind"] in ("start", "end")), None)
        if last is not None and last["kind"] == "end":
            self._client.set_terminated(run.id, last["status"], round(last["time"] * 1000))
        elif last is not None and is_known:
            self._client.update_run(run.id, status="RUNNING")
        metrics = [
            Metric(name, value, round(r["time"] * 1000), r["images"])
            for r in records
            for name, value in r.get("metrics", {}).items()
            if not self._has_point(run, name, value, r)
        ]
        params = [Param(name, value) for r in records for name, value in r.get("params", {}).items()]
        tags = [RunTag(name, value) for r in records for name, value in r.get("tags", {}).items()]
        while len(metrics) > _MAX_METRICS or len(params) > _MAX_PARAMS or len(tags) > _MAX_TAGS:
            problems += self._log(key, [*metrics[:_MAX_METRICS], *params[:_MAX_PARAMS], *tags[:_MAX_TAGS]])
            metrics, params, tags = metrics[_MAX_METRICS:], params[_MAX_PARAMS:], tags[_MAX_TAGS:]
        problems += self._log(key, [*metrics, *params, *tags, RunTag(SENT_TAG, lines[-1].mark)])
        run.mark = lines[-1].mark
        return problems

    def _log(self, key: str, entities: Sequence[Any]) -> list[str]:
        """Write metrics, params and tags of a run, all but those that MLflow will never take; the latter."""
        from mlflow.entities import Metric, Param, RunTag

        assert self._client is not None
        metrics = [entity for entity in entities if isinstance(entity, Metric)]
        params = [entity for entity in entities if isinstance(entity, Param)]
        tags = [entity for entity in entities if isinstance(entity, RunTag)]
        try:
            self._client.log_batch(self._runs[key].id, metrics, params, tags)
        except Exception as error:
            if not self._is_refusal(error, key):
                raise
            if len(entities) == 1:
                return [f"{entities[0].key}: {reason(error)}"]
            middle = (
                len(entities) // 2
            )  # MLflow takes all or nothing, and one bad name is no reason to lose the others.
            return list(dict.fromkeys(self._log(key, entities[:middle]) + self._log(key, entities[middle:])))
        return []

    def _is_refusal(self, error: Exception, key: str) -> bool:
        """Whether MLflow will never take what it was given, though the run and the experiment are there to take it."""
        from mlflow.exceptions import MlflowException

        if getattr(error, "error_code", None) not in _PERMANENT:
            return False
        assert self._client is not None
        try:
            if key in self._runs:
                stage = self._client.get_run(self._runs[key].id).info.lifecycle_stage
            else:
                stage = self._client.get_experiment(self.experiment_id).lifecycle_stage
        except MlflowException:
            return False
        return bool(stage == "active")

    def _run(self, key: str, start: Mapping[str, Any] | None) -> _Known:
        """The run of a key, made if need be."""
        assert self._client is not None
        if key in self._runs:
            return self._runs[key]
        tags = {STUDY_TAG: self._study_id, RUN_TAG: key}
        if key != STUDY:
            tags[_PARENT_TAG] = self._run(STUDY, None).id
        name = start["name"] if start else self._study if key == STUDY else key
        time = round(start["time"] * 1000) if start else None
        run_id = self._client.create_run(self.experiment_id, time, tags, name).info.run_id
        self._runs[key] = _Known(run_id, parent=tags.get(_PARENT_TAG, ""))
        if key == STUDY:
            self._gather_children()
        return self._runs[key]

    def _gather_children(self) -> None:
        """Put runs under the study's own, where that has been made anew."""
        assert self._client is not None
        if (study := self._runs.get(STUDY)) is None:
            return
        for key, run in self._runs.items():
            if key != STUDY and not run.is_deleted and run.parent != study.id:
                self._client.set_tag(run.id, _PARENT_TAG, study.id)
                run.parent = study.id

    def _has_point(self, run: _Known, name: str, value: float, record: Mapping[str, Any]) -> bool:
        """Whether a run of which nothing says what it has, has a point, with whatever time stamp."""
        assert self._client is not None
        if name not in run.metrics:
            return False
        if name not in run.histories:
            run.histories[name] = self._client.get_metric_history(run.id, name)
        points = [point for point in run.histories[name] if point.step == record["images"]]
        if record["kind"] == "metrics" or not points:
            return bool(points)
        # Of ends, the last counts.
        return bool(max(points, key=lambda point: point.timestamp).value == value)


def reason(error: BaseException) -> str:
    """What went wrong at the bottom of it, on one line."""
    while deeper := error.__cause__ or error.__context__:
        error = deeper
    return " ".join((str(error) or type(error).__name__).split())[:300]
