"""Runs jobs on a Ray cluster with Ray Tune as the executor: it places, restarts and stops trials; what to try is not
its business.

The durable state of a study is its own (the Optuna storage and the runs' folders), so each call is a fresh Tune run and
Tune's own restore is not used: it cannot raise the number of trials, and it would be a second account of what has
been done.
"""

import functools
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import ray
from ray import tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from curriculum_search.experiment import Resources
from curriculum_search.runs.capacity import find_capacity
from curriculum_search.runs.cluster import ray_log
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, RunError, Status, one_line
from curriculum_search.runs.restarts import Break, Restarts
from curriculum_search.runs.watch import STACKS, ProcessId
from curriculum_search.runs.worker import DIVERGED, REMARKS, REPORT, STATUS, run_group_trial, run_trial
from curriculum_search.training import Report, StatusReport

T = TypeVar("T")

_LOOK_SECONDS = 2.0  # between two looks at the cluster

#: A resource of the head node alone: the driver of a trial with several workers waits there and takes no processor.
_HEAD = "node:__internal_head__"

#: Tune's settings that a run of ours needs, all documented in Ray's "Environment variables used by Ray Tune".
_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the study keeps its own logs
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # reports are judged by the study, not by Tune
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command, which resumes when it is run again
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Tune's snapshots of itself are not used
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # it is the searcher that holds back
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a failed run is named by the study, with its log
    "TUNE_WARN_THRESHOLD_S": "60",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def run_jobs(source: JobSource, *, resources: Resources, limit: int | None, scratch: Path) -> None:
    """Run the jobs of `source` until it is done.

    Args:
        source: hands out the jobs; its methods are called in this process.
        resources: of each job; all jobs of one call ask for the same.
        limit: jobs that run at once, at most; None: as many as the cluster has room for, which may change.
        scratch: a folder for Tune's own files, emptied first.
    """
    os.environ.update(_ENVIRONMENT)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what fails is told to the source
    shutil.rmtree(scratch, ignore_errors=True)
    alone = resources.workers == 1
    if alone:
        bundle: dict[str, float] = {"CPU": resources.cpus_per_worker}
        if resources.gpus_per_worker:
            bundle["GPU"] = resources.gpus_per_worker
    else:
        bundle = {_HEAD: 0.001}
    searcher = _JobSearcher(source)
    room = _Room(searcher, resources, limit)
    tuner = tune.Tuner(
        tune.with_resources(run_trial if alone else run_group_trial, tune.PlacementGroupFactory([bundle])),
        tune_config=tune.TuneConfig(
            search_alg=searcher, scheduler=_JobScheduler(searcher), num_samples=-1, reuse_actors=alone
        ),
        run_config=tune.RunConfig(
            name=scratch.name,
            storage_path=str(scratch.parent.resolve()),
            failure_config=tune.FailureConfig(max_failures=0),  # it is `Restarts` that decide
            verbose=0,
            stop=_DriverStopper(searcher),
            callbacks=[_TickCallback(room)],
        ),
    )
    with _deaths_are_no_surprise():
        tuner.fit()
    if searcher.error is not None:
        raise searcher.error


@contextmanager
def _deaths_are_no_surprise() -> Iterator[None]:
    """Have each death of a process reach the trial that it is of.

    Ray's manager of actors knows the death of an actor and the error of a task; on any other, such as that the node ran
    out of memory, it gives up the whole of Tune.  There is no public way to tell it.
    """
    original = RayActorManager._actor_task_failed

    def failed(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=str(exception))
        original(self, tracked_actor_task, exception)

    with patch.object(RayActorManager, "_actor_task_failed", failed):
        yield


class _DriverOnly:
    """What Tune saves for its own restore, which is not used: nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _JobSearcher(_DriverOnly, Searcher):
    """Tune's searcher: gives out the source's jobs, again where they broke off, and tells it how they ended."""

    def __init__(self, source: JobSource) -> None:
        super().__init__(metric=None, mode=None)
        self.source = source
        self.concurrency = 1
        self.running: dict[str, Job] = {}
        self.stopped: set[str] = set()
        self._remarked: set[str] = set()
        self.failures: dict[str, BaseException] = {}  # what ended a trial
        self.error: Exception | None = None
        self._driver = ProcessId.own()
        self._restarts = Restarts()
        self._again: list[tuple[float, Job]] = []  # with the time from which on
        self._exhausted = False

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        if self.error is not None:
            return Searcher.FINISHED
        job = self._next() if len(self.running) < self.concurrency else None
        if job is not None:
            self.running[trial_id] = job
            return {"job": replace(job, driver=self._driver).encode()}
        # As long as a job runs, it may break off and have to be given out again.
        return Searcher.FINISHED if self._exhausted and not (self.running or self._again) else None

    def _next(self) -> Job | None:
        for i, (since, job) in enumerate(self._again):
            if since <= time.monotonic():
                del self._again[i]
                return job
        if self._exhausted:
            return None
        done: Job | Exhausted = Exhausted.DONE
        found = self._guarded(self.source.next, otherwise=done)
        self._exhausted = found is Exhausted.DONE
        return None if isinstance(found, Exhausted) else found

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Reports are taken by the scheduler, which can act on them."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        job = self.running.pop(trial_id, None)
        if job is None or self.error is not None:  # What is under way when the source fails has not ended.
            return
        if trial_id in self.stopped:
            outcome = Outcome(status=Status.STOPPED)
        elif error:
            broke, outcome = _broken(self.failures.pop(trial_id), job)
            pause = self._restarts.decide(job.key, broke) if job.tried_again else None
            if pause is not None:
                self._again.append((time.monotonic() + pause, job))
                self._guarded(lambda: self.source.restarted(job, outcome.reason), otherwise=None)
                return
        elif result and DIVERGED in result:
            outcome = Outcome(status=Status.DIVERGED, reason=result[DIVERGED])
        else:
            outcome = Outcome(status=Status.FINISHED)
        self._guarded(lambda: self.source.ended(job, outcome), otherwise=None)

    def take_report(self, trial_id: str, report: Report) -> bool:
        """Hand a report to the source; True if the run is to stop."""
        job = self.running.get(trial_id)
        if job is None or self.error is not None:
            return True
        self._restarts.progressed(job.key, report.images)
        stop = self._guarded(lambda: self.source.reported(job, report), otherwise=True)
        if stop:
            self.stopped.add(trial_id)
        return stop

    def take_remarks(self, remarks: list[str]) -> None:
        """Hand what a worker has warned of to the source, each text once."""
        for remark in remarks:
            if remark not in self._remarked:
                self._remarked.add(remark)
                self._guarded(functools.partial(self.source.noticed, f"warning: {remark}"), otherwise=None)

    def take_status(self, trial_id: str, status: StatusReport) -> None:
        """Hand a status to the source."""
        job = self.running.get(trial_id)
        if job is not None and self.error is None:
            self._restarts.progressed(job.key, status.images)
            self._guarded(lambda: self.source.progressed(job, status), otherwise=None)

    def _guarded(self, call: Callable[[], T], otherwise: T) -> T:
        """Call the source.  Tune would log and forget what it raises; so it is kept, and raised when Tune has ended."""
        try:
            return call()
        except Exception as error:
            self.error = self.error or error
            return otherwise

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study's state is its own."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class _JobScheduler(_DriverOnly, FIFOScheduler):
    """Tune's scheduler: hands each report to the source, and stops the trial if the source says so."""

    def __init__(self, searcher: _JobSearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.searcher = searcher

    def set_search_properties(self, metric: Any, mode: Any, **spec: Any) -> bool:
        return True

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if REMARKS in result:
            self.searcher.take_remarks(json.loads(result[REMARKS]))
        if STATUS in result:
            self.searcher.take_status(trial.trial_id, StatusReport.from_json(result[STATUS]))
        stop = REPORT in result and self.searcher.take_report(trial.trial_id, Report.from_json(result[REPORT]))
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        # `trial.get_pickled_error` looks where Tune copies it later; what is not raised by a task is there as text.
        pickled, text = trial.pickled_error_file, trial.error_file
        if pickled:
            failure: BaseException = ray.cloudpickle.loads(Path(pickled).read_bytes())
        else:
            failure = RayError(Path(text).read_text() if text and Path(text).exists() else "Ray could not run it")
        self.searcher.failures[trial.trial_id] = failure


class _DriverStopper(_DriverOnly, tune.Stopper):
    """Ends all trials, wherever they are, when the source has failed."""

    def __init__(self, searcher: _JobSearcher) -> None:
        self.searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.searcher.error is not None


def _broken(failure: BaseException, job: Job) -> tuple[Break, Outcome]:
    """How a trial broke off, from what Tune has of it, and what to say of it if that was its end."""
    causes = list(_causes(failure))
    error = next((cause for cause in causes if isinstance(cause, RunError)), None)
    if error is not None:
        return Break.ERROR, Outcome(status=Status.FAILED, reason=error.reason, trace=error.trace)
    trace = re.sub(r"\x1b\[[0-9;]*m", "", str(failure))
    silent = (path for path in sorted(job.run_dir.glob(f"*{STACKS}")) if "Timeout (" in path.read_text())
    if stacks := next(silent, None):
        minutes = job.experiment.cadence.silence_minutes
        reason = f"it said nothing for {minutes:g} minutes (cadence.silence_minutes) and was ended; {stacks} has where"
        return Break.SILENCE, Outcome(status=Status.FAILED, reason=reason, trace=trace)
    if not any(isinstance(cause, RayError) and not isinstance(cause, RayTaskError) for cause in causes):
        return Break.ERROR, Outcome(status=Status.FAILED, reason=one_line(causes[-1]), trace=trace)
    if (memory := re.search(r"running low on memory.*?\) was (.*? limit)", trace, re.DOTALL)) is not None:
        reason = f"its process was killed because its node ran out of memory ({memory[1]})"
    elif (death := re.search(r"Worker exit detail: (.*)", trace)) is not None:
        detail, advice, _ = death[1].partition(" Some common causes")
        reason = f"its process died: {detail}{' It may have been out of memory.' if advice else ''}"
    else:
        reason = f"its process or node is gone: {one_line(causes[-1])}"
    return Break.DEATH, Outcome(status=Status.LOST, reason=reason, trace=trace)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """An error and all that it wraps: Ray wraps what a trial raised; Ray Train what each of its workers raised."""
    yield failure
    inner = [getattr(failure, name, None) for name in ("cause", "controller_failure", "health_check_failure")]
    for error in (*inner, *getattr(failure, "worker_failures", {}).values()):
        if isinstance(error, BaseException):
            yield from _causes(error)


class _Room:
    """What the cluster has room for, looked at now and then."""

    def __init__(self, searcher: _JobSearcher, resources: Resources, limit: int | None) -> None:
        self.searcher = searcher
        self.resources = resources
        self.limit = limit
        self.capacity = find_capacity(resources)
        self._looked = time.monotonic()
        self._resize()

    def look(self) -> None:
        """Bring what is known of the cluster up to date, and say what has changed."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        before, self.capacity, self._looked = self.capacity, find_capacity(self.resources), time.monotonic()
        if self.capacity.nodes != before.nodes:
            joined = self.capacity.nodes > before.nodes
            words = "joined the cluster" if joined else f"left the cluster (Ray says more in {ray_log()})"
            self.searcher.source.noticed(f"a node has {words}, which has {self.capacity.words} now")
        self._resize()

    def _resize(self) -> None:
        wanted = self.capacity.trials if self.limit is None else min(self.limit, self.capacity.trials)
        self.searcher.concurrency = max(wanted, 1)


class _TickCallback(_DriverOnly, tune.Callback):
    """Lets the source show its progress, about once a second."""

    def __init__(self, room: _Room) -> None:
        self.room = room
        self.last = 0.0

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        now = time.monotonic()
        if now - self.last >= 1:
            self.last = now
            self.room.look()
            self.room.searcher.source.tick(self.room.capacity)
