"""The study's copy in MLflow, written behind the search's back.

What is to be in MLflow is first a line in a journal (`RunLog`) on the driver's node; a thread carries the journal over
and remembers how far it came.  So nobody waits for MLflow, an outage loses nothing, and a study that is resumed, or
pointed at another server, brings MLflow up to date.

Every record has ``run`` (the run's key), ``kind`` and ``time`` (seconds since 1970):

    start     name, params, tags        the run begins, or goes on
    metrics   images, metrics           values at so many images seen
    tags      tags
    artifact  path, folder              a file to copy into the run's artifacts
    end       status, images, metrics   how it ended, and values that stand for the whole run
"""

import json
import math
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from curriculum_search.atomic import DiskFullError, replacing
from curriculum_search.tracking.run_log import RunLog
from curriculum_search.tracking.store import STUDY, MlflowStore, reason, shown

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

_BATCH_BYTES = 2**18  # of the journal, carried over at once
_PAUSE_SECONDS = 1.0  # gathers what comes at about the same time into one call
_MAX_BACKOFF_SECONDS = 30.0
_SERVER_SECONDS, _DATABASE_SECONDS = 15.0, 90.0  # how long a check waits; a new SQLite file takes 2 to 10 s to set up


class Tracker:
    """The only client of MLflow.  Every method returns at once, but for `check`, `flush` and `close`.

    Works in the driver's process, or as a Ray actor on the driver's node (plain arguments, and the thread starts with
    the first call).

    Args:
        folder: for the journal and the record of what has been sent; one study, one folder, one tracker at a time.
        uri: of the tracking server or database (see `tracking_uri`).
        study: the name of the study's run in MLflow.
        experiment: the name of MLflow's experiment.
    """

    def __init__(self, folder: Path, *, uri: str, study: str, experiment: str) -> None:
        self.uri = uri
        self._journal = RunLog(folder / "journal.jsonl")
        self._sent_path = folder / "sent.json"
        self._names = {"experiment": experiment, "study": study}
        self._store: MlflowStore | None = None
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None
        self._points: dict[tuple[str, str, int], float] = {}
        self._params: set[tuple[str, str]] = set()
        self._last_images: dict[str, int] = {}
        self._sent = self._end = self._end_at_start = 0
        self._hurry = self._closed = False
        self._trouble = ""
        self._refused: dict[str, str] = {}

    def check(self) -> None:
        """Find out whether MLflow can be reached, and open the study's experiment.

        Raises:
            ValueError: it cannot, after some seconds, or its answer makes no sense.
        """
        store = self._opened()
        store.load_client()
        failure: list[BaseException] = []

        def connect() -> None:
            try:
                store.connect()
            except BaseException as error:
                failure.append(error)

        # In a thread, because not every database driver knows a time limit.
        seconds = _SERVER_SECONDS if store.is_server else _DATABASE_SECONDS
        attempt = threading.Thread(target=connect, daemon=True)
        attempt.start()
        attempt.join(seconds)
        if attempt.is_alive() or failure:
            what = f"no answer in {seconds:.0f} s" if attempt.is_alive() else reason(failure[0])
            raise ValueError(
                f"MLflow cannot be used at {shown(self.uri)}: {what}; start it, or set MLFLOW_TRACKING_URI to "
                f"another server or to a database such as sqlite:///mlflow.db"
            )

    def start_run(
        self, key: str, *, name: str, params: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Open a run, or open it again; with the key `STUDY`, the study's own.

        MLflow never changes a param: of a run that is opened again, those that it has stay as they are.
        """
        self.send(key, [{"kind": "start", "name": name, "params": dict(params or {}), "tags": dict(tags or {})}])

    def log_metrics(self, key: str, images: int, metrics: Mapping[str, float]) -> None:
        """Add points to a run's curves; a point that a curve has already, and what is not finite, are left out."""
        self.send(key, [{"kind": "metrics", "images": images, "metrics": dict(metrics)}])

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run; the tag ``mlflow.note.content`` is the description on its page."""
        self.send(key, [{"kind": "tags", "tags": dict(tags)}])

    def log_artifact(self, key: str, path: Path, folder: str = "") -> None:
        """Copy a file, which must stay as it is, into a run's artifacts, under `folder`."""
        self.send(key, [{"kind": "artifact", "path": str(path.absolute()), "folder": folder}])

    def end_run(self, key: str, *, status: RunStatus, best: Mapping[str, float] | None = None) -> None:
        """Close a run; `best` stands for all of it, under names of its own, for MLflow's table shows last values.

        A run that ends again, as a study with more trials does, has the values of its last end.
        """
        self.send(key, [{"kind": "end", "status": status, "metrics": dict(best or {})}])

    def send(self, key: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Take records of one run, without ``run`` and, if they come straight away, ``time``."""
        with self._lock:
            self._opened()
            lines = [line for record in records if (line := self._line(key, record))]
            self._journal.append(*lines)
            self._end = self._journal.path.stat().st_size
            if self._thread is None:
                self._thread = threading.Thread(target=self._carry, name="tracker", daemon=True)
                self._thread.start()
            self._lock.notify_all()

    def flush(self, timeout_seconds: float) -> str:
        """Wait until MLflow has everything; what it does not have, in words, or nothing."""
        with self._lock:
            self._hurry = True
            self._lock.notify_all()
            self._lock.wait_for(lambda: self._sent >= self._end, timeout_seconds)
            self._hurry = False
            words = []
            if self._sent < self._end:
                num_records = sum(record["kind"] != "study" for record in self._journal.read_from(self._sent)[0])
                words.append(
                    f"{num_records} records have not reached MLflow at {shown(self.uri)} "
                    f"({self._trouble or 'too slow'}); they are kept in {self._journal.path} and go there when the "
                    f"same command is run again"
                )
            words += [f"MLflow refused part of run {key}: {why}" for key, why in self._refused.items()]
            return "; ".join(words)

    def page(self) -> str:
        """What shows the study: the address of its page, or for a database the command that opens it."""
        return self._opened().page()

    def close(self, timeout_seconds: float) -> str:
        """`flush`, then end the thread."""
        unsent = self.flush(timeout_seconds) if self._thread else ""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        return unsent

    def _opened(self) -> MlflowStore:
        """Read, the first time, what an earlier process left."""
        with self._lock:
            if self._store is None:
                records, self._end = self._journal.read_from(0)
                if not records:
                    records = [{"kind": "study", "run": STUDY, "id": uuid.uuid4().hex}]
                    self._journal.append(*records)
                    self._end = self._journal.path.stat().st_size
                for record in records[1:]:
                    self._remember(record)
                self._end_at_start = self._end
                sent = self._load_sent()
                self._sent = sent["bytes"]
                self._store = MlflowStore(self.uri, **self._names, study_id=records[0]["id"], runs=sent["runs"])
            return self._store

    def _line(self, key: str, record: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record as the journal has it, without params and points of a curve that it has already, whatever their
        value, and without values of an end that are as they were."""
        line = {"run": key, "time": time.time(), **record}
        if "params" in line:
            line["params"] = {name: v for name, v in line["params"].items() if (key, name) not in self._params}
        if "metrics" in line:
            images = line.setdefault("images", self._last_images.get(key, 0))
            known = {name: self._points.get((key, name, images)) for name in line["metrics"]}
            line["metrics"] = {
                name: float(value)
                for name, value in line["metrics"].items()
                if math.isfinite(value) and (known[name] is None or (line["kind"] == "end" and known[name] != value))
            }
            if not line["metrics"] and line["kind"] == "metrics":
                return None
        self._remember(line)
        return line

    def _remember(self, line: Mapping[str, Any]) -> None:
        if "metrics" in line:
            self._points.update({(line["run"], name, line["images"]): v for name, v in line["metrics"].items()})
            self._last_images[line["run"]] = max(line["images"], self._last_images.get(line["run"], 0))
        self._params.update((line["run"], name) for name in line.get("params", {}))

    def _carry(self) -> None:
        """The thread: carry the journal over to MLflow, as long as it takes."""
        failures = 0
        store = self._opened()
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._sent < self._end or self._closed)
                if not self._hurry and not self._closed:
                    pause = min(_MAX_BACKOFF_SECONDS, 2.0**failures) if failures else _PAUSE_SECONDS
                    self._lock.wait_for(lambda: self._hurry or self._closed, pause)
                elif failures:
                    self._lock.wait_for(lambda: self._closed, 1.0)
                if self._closed:
                    return
            records, offset = self._journal.read_from(self._sent, _BATCH_BYTES)
            search = failures > 0 or self._sent < self._end_at_start
            try:
                refused = store.write((r for r in records if r["kind"] != "study"), search=search)
            except Exception as error:
                failures += 1
                self._trouble = reason(error)
                continue
            failures = 0
            with self._lock:
                self._refused.update(refused)
                self._sent = offset
                self._save_sent(store)
                self._lock.notify_all()

    def _target(self) -> dict[str, str]:
        return {"uri": shown(self.uri), "experiment": self._names["experiment"]}

    def _load_sent(self) -> dict[str, Any]:
        target = self._target()
        try:
            sent: dict[str, Any] = json.loads(self._sent_path.read_text())
        except (FileNotFoundError, ValueError):
            sent = {}
        # Another server, or another experiment, gets everything from the beginning.
        return sent if {k: sent.get(k) for k in target} == target else {**target, "bytes": 0, "runs": {}}

    def _save_sent(self, store: MlflowStore) -> None:
        content = {**self._target(), "bytes": self._sent, "runs": store.runs}
        with suppress(DiskFullError), replacing(self._sent_path) as partial:  # What is sent twice is there once.
            partial.write_text(json.dumps(content))
