"""The study's copy in MLflow, written behind the search's back.

What is to be in MLflow is first a line in a journal (`RunLog`) on the driver's node; a thread carries the journal over,
after it has asked MLflow what is there already.  So nobody waits for MLflow, an outage loses nothing, and a study that
is resumed, or pointed at another server, or whose store was emptied or restored from a backup, brings MLflow up to
date.
"""

import json
import math
import os
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from curriculum_search.atomic import DiskFullError, replacing
from curriculum_search.tracking.database import shown
from curriculum_search.tracking.origin import origin
from curriculum_search.tracking.records import flaw
from curriculum_search.tracking.run_log import Line, RunLog
from curriculum_search.tracking.store import STUDY, ExperimentDeletedError, MlflowStore, reason

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
        folder: for the journal and the record of what has been sent, in the study's folder; one study, one folder, one
            tracker at a time.
        uri: of the tracking server or database (see `tracking_uri`).
        study: the name of the study's run in MLflow.
        experiment: the name of MLflow's experiment.
    """

    def __init__(self, folder: Path, *, uri: str, study: str, experiment: str) -> None:
        self.uri = uri
        self._journal = RunLog(folder / "journal.jsonl")
        self._sent_path = folder / "sent.json"
        self._base = Path(os.path.abspath(folder.parent))
        self._names = {"experiment": experiment, "study": study}
        self._store: MlflowStore | None = None
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None
        self._points: dict[tuple[str, str, int], float] = {}
        self._params: set[tuple[str, str]] = set()
        self._images: set[tuple[str, str, int]] = set()
        self._last_images: dict[str, int] = {}
        self._study_id = ""
        self._keys: set[str] = set()
        self._sent = self._end = 0
        self._is_known = False  # what MLflow has
        self._hurry = self._closed = False
        self._trouble = self._damage = ""
        self._refused: dict[str, list[str]] = {}

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
            if not failure or not isinstance(failure[0], ExperimentDeletedError):
                what += "; start it, or set MLFLOW_TRACKING_URI to another server or to a database such as "
                what += "sqlite:///mlflow.db"
            raise ValueError(f"MLflow cannot be used at {shown(self.uri)}: {what}")

    def damage(self) -> str:
        """What of the journal was lost to damage, and what of that is left to be said again; nothing, as a rule.

        Who knows what the `known_runs` have said, may say all of it again: nothing comes to be in MLflow twice.
        """
        self._opened()
        return self._damage

    def known_runs(self) -> set[str]:
        """The keys of the runs that have been spoken of."""
        self._opened()
        return set(self._keys)

    def catch_up(self) -> None:
        """Have MLflow looked at, and what it lacks sent, though there is nothing new to say."""
        with self._lock:
            self._opened()
            self._start_thread()

    def start_run(
        self, key: str, *, name: str, params: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Open a run, or open it again; with the key `STUDY`, the study's own.

        MLflow never changes a param: of a run that is opened again, those that it has stay as they are.
        """
        given = origin() | dict(tags or {})
        self.send(key, [{"kind": "start", "name": name, "params": dict(params or {}), "tags": given}])

    def log_metrics(self, key: str, images: int, metrics: Mapping[str, float]) -> None:
        """Add points to a run's curves; a point that a curve has already, and what is not finite, are left out."""
        self.send(key, [{"kind": "metrics", "images": images, "metrics": dict(metrics)}])

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run; the tag ``mlflow.note.content`` is the description on its page."""
        self.send(key, [{"kind": "tags", "tags": dict(tags)}])

    def log_artifact(self, key: str, path: Path, folder: str = "") -> None:
        """Copy a file, which must stay as it is, into a run's artifacts, under `folder`."""
        self.send(key, [{"kind": "artifact", "path": self._stored(path), "folder": folder}])

    def log_image(self, key: str, path: Path, name: str, images: int) -> None:
        """Show an image file, which must stay as it is, among a run's images of a name, after so many images seen; one
        that was said before is left out."""
        self.send(key, [{"kind": "image", "path": self._stored(path), "name": name, "images": images}])

    def log_dataset(self, key: str, *, name: str, digest: str, source: Mapping[str, Any], summary: str) -> None:
        """Say what a run is trained on; `digest` tells other images of the same name apart."""
        record = {"name": name, "digest": digest, "source": dict(source), "summary": summary}
        self.send(key, [{"kind": "dataset", **record}])

    def log_model(
        self,
        key: str,
        *,
        arm: str,
        name: str,
        params: Mapping[str, str],
        values: Mapping[str, float],
        dataset: tuple[str, str],
    ) -> None:
        """Show a confirmed arm among MLflow's models.

        Args:
            key: of the run that stands for it.
            arm: its name.
            name: as it is shown.
            params: of it.
            values: what its seeds say together; what is not finite is left out.
            dataset: name and digest of what they are of.
        """
        record = {
            "kind": "model",
            "arm": arm,
            "name": name,
            "params": dict(params),
            "values": {metric: value for metric, value in values.items() if math.isfinite(value)},
            "images": self._last_images.get(key, 0),
            "dataset": dict(zip(("name", "digest"), dataset, strict=True)),
        }
        self.send(key, [record])

    def show_arms(self, view: Mapping[str, Any]) -> None:
        """Have the study's page show its runs by arm; see `views.arms_view`."""
        self.send(STUDY, [{"kind": "view", "name": self._names["study"], "view": dict(view)}])

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
            self._start_thread()

    def flush(self, timeout_seconds: float) -> str:
        """Wait until MLflow has everything; what it does not have, in words, or nothing."""
        with self._lock:
            self._hurry = True
            self._lock.notify_all()
            self._lock.wait_for(lambda: self._is_known and self._sent >= self._end, timeout_seconds)
            self._hurry = False
            words = []
            if self._sent < self._end:
                num_records = sum(map(self._opened().lacks, self._journal.lines(self._sent)))
                words.append(
                    f"{num_records} records have not reached MLflow at {shown(self.uri)} "
                    f"({self._trouble or 'too slow'}); they are kept in {self._journal.path} and go there when the "
                    f"same command is run again"
                )
            words += [f"MLflow refused part of run {key}: {'; '.join(why)}" for key, why in self._refused.items()]
            return "; ".join(words)

    def page(self, *, arms: bool = False) -> str:
        """What shows the study: the address of its page, for a database after the command that opens it.

        Args:
            arms: whether the page is to open as `show_arms` has said.
        """
        return self._opened().page(self._names["study"] if arms else "")

    def close(self, timeout_seconds: float) -> str:
        """`flush`, then end the thread."""
        unsent = self.flush(timeout_seconds) if self._thread else ""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        return unsent

    def _stored(self, path: Path) -> str:
        """A path as the journal has it: one inside the study's folder moves with it."""
        absolute = Path(os.path.abspath(path))
        inside = absolute.is_relative_to(self._base)
        return str(absolute.relative_to(self._base) if inside else absolute)

    def _start_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._carry, name="tracker", daemon=True)
            self._thread.start()
        self._lock.notify_all()

    def _opened(self) -> MlflowStore:
        """Read, the first time, what an earlier process left."""
        with self._lock:
            if self._store is None:
                sent = self._load_sent()
                records = [line.record for line in self._sound_lines(sent["bytes_before"])]
                self._keys.update(sent["runs"])
                ids = [record["id"] for record in records if record["kind"] == "study"] + [sent["study"]]
                self._study_id = ids[0] or uuid.uuid4().hex
                if len(ids) == 1:
                    self._journal.append({"kind": "study", "run": STUDY, "id": self._study_id})
                for record in records:
                    self._remember(record)
                self._end = self._journal.path.stat().st_size
                self._sent = min(sent["bytes"], self._end)
                self._store = MlflowStore(
                    self.uri,
                    **self._names,
                    experiment_id=sent["experiment_id"],
                    study_id=self._study_id,
                    base=self._base,
                )
            return self._store

    def _sound_lines(self, bytes_before: int) -> list[Line]:
        """The journal without the lines that cannot be read, which are taken out of it.

        Args:
            bytes_before: that it had when something was last sent.
        """
        lines = self._journal.lines()
        problems = {number: why for number, line in enumerate(lines, 1) if (why := flaw(line))}
        if problems:
            sound = [line for number, line in enumerate(lines, 1) if number not in problems]
            kept = self._journal.keep_only(sound)
            words = ", ".join(f"line {number} ({why})" for number, why in list(problems.items())[:3])
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            self._damage = (
                f"{self._journal.path}: cannot be read: {words}{more}; taken out (the file as it was: {kept})"
            )
            lines = self._journal.lines()
        elif (lines[-1].end if lines else 0) < bytes_before:
            self._damage = f"{self._journal.path}: its end is missing, from line {len(lines) + 1} on"
        if self._damage:
            self._damage += "; what MLflow has not had of it is taken from the runs' own logs"
        return lines

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
        if line["kind"] == "image" and (key, line["name"], line["images"]) in self._images:
            return None
        self._remember(line)
        return line

    def _remember(self, line: Mapping[str, Any]) -> None:
        if line["run"] != STUDY:
            self._keys.add(line["run"])
        if "metrics" in line:
            self._points.update({(line["run"], name, line["images"]): v for name, v in line["metrics"].items()})
            self._last_images[line["run"]] = max(line["images"], self._last_images.get(line["run"], 0))
        if line["kind"] == "image":
            self._images.add((line["run"], line["name"], line["images"]))
        self._params.update((line["run"], name) for name in line.get("params", {}))

    def _carry(self) -> None:
        """The thread: carry the journal over to MLflow, as long as it takes."""
        failures = 0
        store = self._opened()
        while True:
            with self._lock:
                self._lock.wait_for(lambda: not self._is_known or self._sent < self._end or self._closed)
                if not self._hurry and not self._closed:
                    pause = min(_MAX_BACKOFF_SECONDS, 2.0**failures) if failures else _PAUSE_SECONDS
                    self._lock.wait_for(lambda: self._hurry or self._closed, pause)
                elif failures:
                    self._lock.wait_for(lambda: self._closed, 1.0)
                if self._closed:
                    return
            try:
                store.connect()
                start = self._sent if self._is_known else store.find_runs(self._journal.lines())
                lines = self._journal.lines(start, _BATCH_BYTES)
                refused = store.write(lines)
            except Exception as error:
                failures += 1
                self._trouble = reason(error)
                self._is_known = False
                store.disconnect()
                continue
            failures = 0
            with self._lock:
                for key, why in refused.items():
                    self._refused[key] = list(dict.fromkeys(self._refused.get(key, []) + why))
                self._sent = lines[-1].end if lines else start
                self._is_known = True
                self._save_sent(store)
                self._lock.notify_all()

    def _target(self) -> dict[str, str]:
        return {"uri": shown(self.uri), "experiment": self._names["experiment"]}

    def _load_sent(self) -> dict[str, Any]:
        """What is known without asking MLflow; nothing depends on it but what is said while MLflow does not answer,
        the study's identity where the journal is lost, and that it is missed."""
        try:
            found = json.loads(self._sent_path.read_text())
        except (FileNotFoundError, ValueError):
            found = {}
        empty: dict[str, Any] = {"study": "", "experiment_id": "", "bytes": 0, "runs": []}
        known = empty | {
            name: found[name]
            for name, value in empty.items()
            if isinstance(found, dict) and isinstance(found.get(name), type(value))
        }
        known["bytes_before"] = known["bytes"]
        # Another server, or another experiment, gets everything from the beginning.
        if not isinstance(found, dict) or {name: found.get(name) for name in self._target()} != self._target():
            known |= {"experiment_id": "", "bytes": 0}
        return known

    def _save_sent(self, store: MlflowStore) -> None:
        content = {
            **self._target(),
            "study": self._study_id,
            "experiment_id": store.experiment_id,
            "bytes": self._sent,
            "runs": sorted(self._keys),
        }
        with suppress(DiskFullError), replacing(self._sent_path) as partial:  # What is sent twice is there once.
            partial.write_text(json.dumps(content))
