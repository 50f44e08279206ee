"""Runs jobs on a Ray cluster with Ray Tune as the executor: it places, restarts and stops trials; what to try is not
its business.

The durable state of a study is its own (the Optuna storage and the runs' folders), so each call is a fresh Tune run and
Tune's own restore is not used: it cannot raise the number of trials, and it would be a second account of what has
been done.
"""

import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from curriculum_search.experiment import Resources
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, RunError, Status, one_line
from curriculum_search.runs.worker import DIVERGED, REPORT, STATUS, run_group_trial, run_trial
from curriculum_search.training import Report, StatusReport

T = TypeVar("T")

#: A resource of the head node alone: the driver of a trial with several workers waits there and takes no processor.
_HEAD = "node:__internal_head__"

#: Tune's settings that a run of ours needs, all documented in Ray's "Environment variables used by Ray Tune".
_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the study keeps its own logs
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # reports are judged by the study, not by Tune
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command, which resumes when it is run again
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Tune's snapshots of itself are not used
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a failed run is named by the study, with its log
    "TUNE_WARN_THRESHOLD_S": "60",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def run_jobs(source: JobSource, *, resources: Resources, concurrency: int, scratch: Path) -> None:
    """Run the jobs of `source` until it is done.

    Args:
        source: hands out the jobs; its methods are called in this process.
        resources: of each job; all jobs of one call ask for the same.
        concurrency: jobs that run at once, at most.
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
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(concurrency)
    searcher = _JobSearcher(source, concurrency)
    tuner = tune.Tuner(
        tune.with_resources(run_trial if alone else run_group_trial, tune.PlacementGroupFactory([bundle])),
        tune_config=tune.TuneConfig(
            search_alg=searcher, scheduler=_JobScheduler(searcher), num_samples=-1, reuse_actors=alone
        ),
        run_config=tune.RunConfig(
            name=scratch.name,
            storage_path=str(scratch.parent.resolve()),
            failure_config=tune.FailureConfig(max_failures=2),
            verbose=0,
            stop=_DriverStopper(searcher),
            callbacks=[_ProgressCallback(source)],
        ),
    )
    tuner.fit()
    if searcher.error is not None:
        raise searcher.error


class _DriverOnly:
    """What Tune saves for its own restore, which is not used: nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _JobSearcher(_DriverOnly, Searcher):
    """Tune's searcher: gives out the source's jobs, and tells it how they ended."""

    def __init__(self, source: JobSource, concurrency: int) -> None:
        super().__init__(metric=None, mode=None)
        self.source = source
        self.concurrency = concurrency
        self.running: dict[str, Job] = {}
        self.stopped: set[str] = set()
        self.failures: dict[str, BaseException] = {}  # what ended a trial that is not restarted again
        self.error: Exception | None = None

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        if self.error is not None:
            return Searcher.FINISHED
        if len(self.running) >= self.concurrency:
            return None
        done: Job | Exhausted = Exhausted.DONE
        job = self._guarded(self.source.next, otherwise=done)
        if job is Exhausted.DONE:
            return Searcher.FINISHED
        if job is Exhausted.WAIT:
            return None
        assert isinstance(job, Job)
        self.running[trial_id] = job
        return {"job": job.encode()}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Reports are taken by the scheduler, which can act on them."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        job = self.running.pop(trial_id, None)
        if job is None or self.error is not None:  # What is under way when the source fails has not ended.
            return
        if trial_id in self.stopped:
            outcome = Outcome(status=Status.STOPPED)
        elif error:
            outcome = _failed(self.failures[trial_id])
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
        stop = self._guarded(lambda: self.source.reported(job, report), otherwise=True)
        if stop:
            self.stopped.add(trial_id)
        return stop

    def take_status(self, trial_id: str, status: StatusReport) -> None:
        """Hand a status to the source."""
        job = self.running.get(trial_id)
        if job is not None and self.error is None:
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
        if STATUS in result:
            self.searcher.take_status(trial.trial_id, StatusReport.from_json(result[STATUS]))
        stop = REPORT in result and self.searcher.take_report(trial.trial_id, Report.from_json(result[REPORT]))
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        path = trial.pickled_error_file  # `trial.get_pickled_error` looks where Tune copies it later.
        failure = ray.cloudpickle.loads(Path(path).read_bytes()) if path else RuntimeError("Ray could not run it")
        self.searcher.failures[trial.trial_id] = failure


class _DriverStopper(_DriverOnly, tune.Stopper):
    """Ends all trials, wherever they are, when the source has failed."""

    def __init__(self, searcher: _JobSearcher) -> None:
        self.searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.searcher.error is not None


def _failed(failure: BaseException) -> Outcome:
    """What went wrong in a trial, from what Tune has of it."""
    causes = list(_causes(failure))
    error = next((cause for cause in causes if isinstance(cause, RunError)), None)
    if error is not None:
        return Outcome(status=Status.FAILED, reason=error.reason, trace=error.trace)
    trace = re.sub(r"\x1b\[[0-9;]*m", "", str(failure))
    if (death := re.search(r"Worker exit detail: (.*)", trace)) is not None:
        detail, advice, _ = death[1].partition(" Some common causes")
        reason = f"its process died: {detail}{' It may have been out of memory.' if advice else ''}"
    else:
        reason = one_line(causes[-1])
    return Outcome(status=Status.FAILED, reason=reason, trace=trace)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """An error and all that it wraps: Ray wraps what a trial raised; Ray Train what each of its workers raised."""
    yield failure
    inner = [getattr(failure, name, None) for name in ("cause", "controller_failure", "health_check_failure")]
    for error in (*inner, *getattr(failure, "worker_failures", {}).values()):
        if isinstance(error, BaseException):
            yield from _causes(error)


class _ProgressCallback(_DriverOnly, tune.Callback):
    """Lets the source show its progress, about once a second."""

    def __init__(self, source: JobSource) -> None:
        self.source = source
        self.last = 0.0

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        now = time.monotonic()
        if now - self.last >= 1:
            self.last = now
            self.source.tick()
