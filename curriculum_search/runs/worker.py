"""What runs inside Ray: a trial of one worker in Tune's own actor, a trial of several through Ray Train."""

import contextlib
import ctypes
import json
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from ray import PlacementGroupID, tune
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.tune.integration.ray_train import TuneReportCallback
from ray.util.placement_group import PlacementGroup

from curriculum_search import distributed
from curriculum_search.atomic import write_whole
from curriculum_search.evaluation import Diverged
from curriculum_search.experiment import CommandTrainer, Trainer
from curriculum_search.runs.job import Job, RunError
from curriculum_search.runs.lock import locked
from curriculum_search.runs.notices import Stopped, listening
from curriculum_search.runs.watch import Watch, watching
from curriculum_search.trainers import train
from curriculum_search.training import Interrupted, PlainSession, Report, StatusReport, default_device

REPORT = "report"
STATUS = "status"
DIVERGED = "diverged"
#: With either: what this package has warned of since the last, as that a damaged cache was rebuilt ...
WARNINGS = "warnings"
REMARKS = "remarks"  #: ... and what has befallen the run, as that it fell back to an older checkpoint

_PACKAGE = str(Path(__file__).parents[1])
_GROUP = "placement_group"  #: in the run's folder: the id of what Ray holds for its workers
_PATIENCE_SECONDS = 60.0  # with another process that writes to the same run

#: Seconds between two looks of Ray Train at its workers.  A worker that says something waits for the next look, so with
#: Ray's 2 seconds every status and report would cost about as much.
#: Its own watch of drained nodes, an actor a trial, is not needed: `notices` are heard by each worker.
_SETTINGS = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.05", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}


def run_trial(config: dict[str, Any]) -> None:
    """The function that Tune runs for a trial of one worker: trains ``config["job"]``, from its checkpoint if it has
    one, and reports to Tune."""
    _train_one(config["job"], tune.report, default_device())


def run_group_trial(config: dict[str, Any]) -> None:
    """The same for a trial of several workers: Ray Train runs them, and forwards what the first of them reports."""
    os.environ.update({name: value for name, value in _SETTINGS.items() if name not in os.environ})
    resources = Job.decode(config["job"]).experiment.resources
    per_worker: dict[str, float] = {"CPU": resources.cpus_per_worker}
    if resources.gpus_per_worker:
        per_worker["GPU"] = resources.gpus_per_worker
    trainer = ray.train.torch.TorchTrainer(
        _run_worker,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=bool(resources.gpus_per_worker),
            resources_per_worker=per_worker,
        ),
        run_config=RunConfig(
            name=config["job"]["key"],
            storage_path=str(config["job"]["run_dir"] / "ray_train"),
            callbacks=[TuneReportCallback()],  # type: ignore[no-untyped-call, list-item]
            failure_config=FailureConfig(max_failures=0),  # it is the driver that starts it again
        ),
    )
    trainer.fit()


def _run_worker(config: dict[str, Any]) -> None:
    group = ray.util.get_current_placement_group()
    if distributed.rank() == 0 and group is not None:
        write_whole(config["job"]["run_dir"] / _GROUP, group.id.hex())
    _train_one(config["job"], ray.train.report, ray.train.torch.get_device())


def free_group(run_dir: Path) -> None:
    """Give back what Ray held for the workers of a trial that is over, if there were several.

    Ray Train has an actor that does so, but where a node lacks memory Ray kills that one with the others.  Then the
    processors would be held for ever, and the trial that is started again would wait for them.
    """
    path = run_dir / _GROUP
    with contextlib.suppress(FileNotFoundError, ValueError):
        group = PlacementGroup(PlacementGroupID(bytes.fromhex(path.read_text())))
        ray.util.remove_placement_group(group)
        path.unlink()


def _seconds_to_end(trainer: Trainer) -> int:
    """How long a run that has been stopped may take to come to its end before its process is given up: Tune's own 2
    seconds are too few for a program that is asked to."""
    return 30 + (math.ceil(trainer.stop_seconds) if isinstance(trainer, CommandTrainer) else 0)


def _train_one(fields: dict[str, Any], send: Any, device: torch.device) -> None:
    """Train a job, given as `Job.encode` writes it, in this process."""

    class RaySession(PlainSession):
        watch: Watch
        caught: list[warnings.WarningMessage]
        remarks: list[str]

        def stop(self) -> None:
            self.should_stop = True

        def report(self, report: Report) -> None:
            # As text: Tune would take a mapping apart, and copy it several times.
            self._send({"images": report.images, REPORT: report.to_json()})

        def status(self, status: StatusReport) -> None:
            self._send({"images": status.images, STATUS: status.to_json()})

        def remark(self, words: str) -> None:
            self.remarks.append(words)

        def _send(self, message: dict[str, Any]) -> None:
            ours = [str(warning.message) for warning in self.caught if warning.filename.startswith(_PACKAGE)]
            aside = {name: json.dumps(lines) for name, lines in ((WARNINGS, ours), (REMARKS, self.remarks)) if lines}
            self.caught.clear()
            self.remarks.clear()
            send(message | aside)
            self.watch.said()

    if fields["working_dir"].is_dir():  # Ray starts a worker elsewhere.
        os.chdir(fields["working_dir"])
    try:
        job = Job.decode(fields)
        os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = str(_seconds_to_end(job.experiment.trainer))
        job.run_dir.mkdir(parents=True, exist_ok=True)
        session = RaySession(run_dir=job.run_dir, device=device)
        session.remarks = []
        limit = job.experiment.cadence.silence_minutes
        with (
            warnings.catch_warnings(record=True) as session.caught,
            _only_writer(job.run_dir),
            watching(job.run_dir, rank=distributed.rank(), driver=job.driver, limit_minutes=limit) as session.watch,
            listening(job.driver, session.stop) as notices,
        ):
            try:
                train(job.experiment, session, job.cache_dir)
            except Interrupted as stop:
                raise Stopped(notices.reason, stop.images) from None
    except Diverged as error:
        send({"images": 0, DIVERGED: str(error)})
    except Stopped:
        raise
    except Exception as error:
        raise RunError.of(error) from None
    finally:
        _give_memory_back()


@contextlib.contextmanager
def _only_writer(run_dir: Path) -> Iterator[None]:
    """Keep another process out of a run's folder, such as the worker of a driver that was killed, which ends soon.

    Raises:
        RuntimeError: it did not end.
    """
    with contextlib.ExitStack() as stack:
        if distributed.rank() == 0:  # which alone writes there
            try:
                stack.enter_context(locked(run_dir / ".lock", seconds=_PATIENCE_SECONDS))
            except BlockingIOError:
                raise RuntimeError(
                    f"another process still trains this run in {run_dir}, after {_PATIENCE_SECONDS:.0f} s; end it"
                ) from None
        yield


def _give_memory_back() -> None:
    """Hand freed memory to the system: glibc keeps it, and a process that trains run after run grows by megabytes."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # where there is no glibc
        ctypes.CDLL(None).malloc_trim(0)
