"""What a fault is injected into: a small run or study in a results folder of its own, and what is known of it."""

import json
import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from faults_parts.commands import REPOSITORY, Command
from mlflow import MlflowClient

from curriculum_search.tracking import tracking_uri

IMAGES, BATCH = 3_200, 16
#: Of a run of the study, and of one between whose statuses there are 200 steps, as there are by default.
SMALL_IMAGES, LONG_IMAGES = 1_600, 16_000
TIMES = {"images_per_second", "train_seconds"}
MARK = "CURRICULUM_SEARCH_FAULTS"
#: Processes of a cluster that are Ray's own: they stay as long as it does, and no command needs or ends them.
_NODES_OWN = (b"ray::IDLE", b"ray::DashboardAgent", b"ray::RuntimeEnvAgent", b"ray::_AutoscalingCoordinatorActor")
STUDY_TAG, RUN_TAG, PARENT_TAG = "curriculum_search.study", "curriculum_search.run", "mlflow.parentRunId"

Job = Literal["train", "search"]
Curves = dict[str, list[tuple[int, dict[str, float]]]]

STUDY = f"""
study:
  name: faults
  objective: val_loss
  trials: 1
  max_concurrent_trials: 1
  stopping: {{kind: none}}
  equal_tries: false
  baselines: [no_curriculum]
  confirmation: {{leaders: 0}}
base:
  plugins: [watched.py]
  data: {{kind: folder, path: ../images, resolution: 8}}
  model: {{kind: dit, patch_size: 4, hidden_size: 16, depth: 1, num_heads: 2}}
  weighting: {{kind: watched}}
  training: {{total_images: {IMAGES}, batch_size: {BATCH}, num_evaluations: 4}}
  cadence: {{status_images: {5 * BATCH}, checkpoint_images: {10 * BATCH}}}
  evaluation:
    evaluators: [{{kind: val_loss, num_images: 8, num_levels: 10, num_intervals: 5}}]
    final_evaluators: [{{kind: frechet, extractor: {{kind: pixels, num_components: 4}}, num_samples: 24}}]
    sampler: {{kind: ddim, num_steps: 2}}
    batch_size: 8
    grid_images: 4
space:
  training.learning_rate: {{kind: float, low: 0.001, high: 0.01, log: true}}
"""

#: A plug-in that is asked once in every step of training, on each worker.
WATCHED = '''
import os
import time
from dataclasses import dataclass
from typing import Literal

from curriculum_search.diffusion import NoWeighting


def obeys(name):
    """Whether there is a file of that name, the first time; notes there at which step that was."""
    if not os.path.exists(name):
        return False
    os.rename(name, name + " obeyed")
    with open(name + " obeyed", "w") as file:
        file.write(str(os.path.getsize("steps")))
    return True


def hang_here():
    while True:
        time.sleep(1)


@dataclass(frozen=True, kw_only=True)
class Watched(NoWeighting):
    """No weights; adds a byte to the file ``steps`` at every step.

    Where there is a file ``hang`` it hangs, where there is a file ``nan`` the loss of one step is NaN; both once.
    """

    kind: Literal["watched"] = "watched"

    def weights(self, log_snr, process):
        with open("steps", "ab", buffering=0) as file:
            file.write(b".")
        if obeys("hang"):
            hang_here()
        weights = super().weights(log_snr, process)
        return weights * float("nan") if obeys("nan") else weights
'''


@dataclass(frozen=True)
class Setting:
    """What the command is, and where.

    Attributes:
        job: its script in jobs/.
        servers: what it needs; see `servers.SERVERS`.
        images: of a run.
        workers: of a run.
        runs: that it trains.
        overrides: of the study's fields.
    """

    job: Job
    servers: str = "none"
    images: int = IMAGES
    workers: int = 1
    runs: int = 1
    overrides: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Optimiser steps of all its runs."""
        return self.runs * self.images // BATCH

    @property
    def arguments(self) -> list[str]:
        """What follows the study file on the command line."""
        given = [f"training.total_images={self.images}", *self.overrides]
        if self.workers > 1:
            given += [f"resources.workers={self.workers}", f"training.microbatch_size={BATCH // self.workers}"]
        return [f"base.{each}" if self.job == "search" else each for each in given]


@dataclass
class Bench:
    """A folder, and the command that works in it.

    Attributes:
        folder: with the study, its data and the results.
        setting: what the command is.
        cache: for what can be made again.
        server: what the setting needs, if anything.
        environment: of the command, beside that of this process.
        address: of the results in a bucket, if they are there.
        tracking: the address of the MLflow server, if there is one.
        mark: in the environment of all that its commands start.
        commands: that have been given.
    """

    folder: Path
    setting: Setting
    cache: Path
    server: Any = None
    environment: dict[str, str] = field(default_factory=dict)
    address: str = ""
    tracking: str = ""
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    commands: list[Command] = field(default_factory=list)

    @property
    def results(self) -> Path:
        """The folder of all results; of those in a bucket, that of this machine."""
        if self.address:
            return next((self.cache / "results").glob("*"), self.folder / "results")
        return self.folder / "results"

    @property
    def runs(self) -> list[Path]:
        """The folders of runs that have been begun."""
        return sorted(path.parent for path in self.results.glob("*/runs/*/experiment.json"))

    def start(self) -> Command:
        """Give the command."""
        prefix = "base." if self.setting.job == "search" else ""
        images = f"{prefix}data.path={self.folder.parent / 'images'}"  # the same of all, for it is part of a run's name
        given = [str(self.folder / "faults.yaml"), images, *self.setting.arguments]
        command = Command(
            self.setting.job,
            [*given, "--results", self.address or str(self.results)],
            folder=self.folder,
            environment={
                **os.environ,
                "CURRICULUM_SEARCH_CACHE": str(self.cache),
                "MLFLOW_TRACKING_URI": self.tracking,
                "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
                "RAY_ADDRESS": "local",
                MARK: self.mark,
                **self.environment,
            },
            output=self.folder / f"output-{len(self.commands) + 1}.txt",
        )
        self.commands.append(command)
        return command

    def steps(self) -> int:
        """Steps of training that have been done so far, those included that were done again."""
        path = self.folder / "steps"
        return path.stat().st_size // self.setting.workers if path.exists() else 0

    def obeyed(self, name: str) -> int:
        """Steps that a run had done when the plug-in obeyed a file, of runs one after the other."""
        return (int((self.folder / f"{name} obeyed").read_text()) - 1) % (self.setting.images // BATCH)

    def records(self, run: Path) -> Iterator[dict[str, Any]]:
        """The lines of a run's log that can be read."""
        for line in (run / "log.jsonl").read_bytes().splitlines() if (run / "log.jsonl").exists() else ():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def curves(self) -> Curves:
        """The values of each run at its evaluations, as often as they are in its log."""
        return {
            run.name: [
                (r["images"], {k: v for k, v in r["metrics"].items() if k not in TIMES})
                for r in self.records(run)
                if r["kind"] == "report"
            ]
            for run in self.runs
        }

    def ends(self) -> dict[str, dict[str, Any]]:
        """How each run has ended, of those that have."""
        paths = [(run.name, run / "result.json") for run in self.runs]
        return {name: json.loads(path.read_text()) for name, path in paths if path.exists()}

    def tracked(self) -> list[tuple[str, str, list[tuple[int, float]]]]:
        """Each run of the study in MLflow: its key, its state, and its curve of the validation loss."""
        client = MlflowClient(self.tracking or tracking_uri(self.results))
        sent = next(self.results.glob("**/tracking/sent.json"), None)
        known = json.loads(sent.read_text())["study"] if sent else ""
        found = client.search_runs(
            [each.experiment_id for each in client.search_experiments()],
            filter_string=f"tags.`{STUDY_TAG}` = '{known}'",
            max_results=1_000,
        )
        return sorted(
            (
                run.data.tags[RUN_TAG],
                run.info.status,
                [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "val_loss")],
            )
            for run in found
            if PARENT_TAG in run.data.tags
        )

    def processes(self) -> list[int]:
        """Living processes that this bench's commands have started, and of a cluster that it shares the workers."""
        found = marked(self.mark)
        mark = getattr(self.server, "mark", "")
        return found + [pid for pid in marked(mark) if is_worker(pid)] if mark else found

    def end(self) -> None:
        """Kill all that its commands have started, and what still runs of them."""
        for command in self.commands:
            command.send(signal.SIGKILL)
            command.wait()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """The processes that train, or wait for a run to train."""
        return [pid for pid in self.processes() if is_worker(pid)]


def marked(mark: str) -> list[int]:
    """The living processes that carry a mark in their environment."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):  # empty in one that has ended
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def is_worker(pid: int) -> bool:
    """Whether a process is one of Ray's that does something."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return title.startswith(b"ray::") and not title.startswith(_NODES_OWN)
