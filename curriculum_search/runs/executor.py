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
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from curriculum_search.experiment import Resources
from curriculum_search.runs.breaks import broken
from curriculum_search.runs.capacity import find_capacity
from curriculum_search.runs.cluster import ray_log
from curriculum_search.runs.groups import HEAD, Groups, run_group_trial
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, Status
from curriculum_search.runs.mailbox import DIVERGED, GOES_ON, REMARKS, REPORT, STATUS, WARNINGS
from curriculum_search.runs.notices import ask_to_stop, forget_to_ask
from curriculum_search.runs.patches import end_process, tune_as_needed
from curriculum_search.runs.restarts import Break, Restarts
from curriculum_search.runs.signals import stop_signals
from curriculum_search.runs.silences import Silences
from curriculum_search.runs.watch import ProcessId
from curriculum_search.runs.worker import run_trial
from curriculum_search.training import Report, StatusReport

T = TypeVar("T")

_LOOK_SECONDS = 2.0  # between two looks at the cluster

#: Tune's settings that a run of ours needs, all documented in Ray's "Environment variables used by Ray Tune".
_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the study keeps its own logs
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # reports are judged by the study, not by Tune
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Tune's snapshots of itself are not used
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # it is the searcher that holds back
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a failed run is named by the study, with its log
    "TUNE_WARN_THRESHOLD_S": "60",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def run_jobs(
    source: JobSource, *, resources: Resources, limit: int | None, scratch: Path, groups: Groups | None = None
) -> None:
    """Run the jobs of `source` until it is done.

    A first signal asks what is under way to save itself, and waits for that a while.

    Args:
        source: hands out the jobs; its methods are called in this process.
        resources: of each job; all jobs of one call ask for the same.
        limit: jobs that run at once, at most; None: as many as the cluster has room for, which may change.
        scratch: a folder for Tune's own files, emptied first.
        groups: of workers, for jobs of several; what is idle of it makes room for jobs of other resources.  None: some
            that end with the call.

    Raises:
        KeyboardInterrupt: a signal has asked to stop.
    """
    os.environ.update(_ENVIRONMENT)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what fails is told to the source
    shutil.rmtree(scratch, ignore_errors=True)
    alone = not resources.in_group
    if alone:
        bundle: dict[str, float] = {"CPU": resources.cpus_per_worker}
        if resources.gpus_per_worker:
            bundle["GPU"] = resources.gpus_per_worker
    else:
        bundle = {HEAD: 0.001}
    searcher = _JobSearcher(source, groups or Groups(), resources, scratch)
    room = _Room(searcher, resources, limit)
    tuner = tune.Tuner(
        tune.with_resources(run_trial if alone else run_group_trial, tune.PlacementGroupFactory([bundle])),
        tune_config=tune.TuneConfig(
            search_alg=searcher, scheduler=_JobScheduler(searcher), num_samples=-1, reuse_actors=True
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
    forget_to_ask(searcher.driver)  # what an earlier call was told
    searcher.groups.make_room(resources)
    try:
        with tune_as_needed() as searcher.let_waiting_go, stop_signals(searcher.stop):
            tuner.fit()
    finally:
        searcher.groups.end_busy()
        if groups is None:
            searcher.groups.close()
    if searcher.error is not None:
        raise searcher.error
    if searcher.asked:
        raise KeyboardInterrupt


class _DriverOnly:
    """What Tune saves for its own restore, which is not used: nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _JobSearcher(_DriverOnly, Searcher):
    """Tune's searcher: gives out the source's jobs, again where they broke off, and tells it how they ended."""

    def __init__(self, source: JobSource, groups: Groups, resources: Resources, scratch: Path) -> None:
        super().__init__(metric=None, mode=None)
        self.source = source
        self.groups = groups
        self._resources = resources
        self._storage = scratch.with_name("groups")  # of Ray Train's files
        self.concurrency = 1
        self.slots = 1  #: workers that the cluster has room for
        self.running: dict[str, Job] = {}
        self.stopped: set[str] = set()
        self._warned: set[str] = set()
        self.failures: dict[str, BaseException] = {}  # what ended a trial
        self.silences = Silences()
        self.error: Exception | None = None
        self.driver = ProcessId.own()
        self.asked = ""  #: the signal that has asked to stop
        self._has_asked = False  # the workers
        self._at_work = True
        self._restarts = Restarts()
        self._sizes: dict[str, int] = {}  # of each job's last group
        self.let_waiting_go: Callable[[], None] = lambda: None  #: ends the processes that wait for a run
        self._again: list[tuple[float, Job]] = []  # with the time from which on
        self._exhausted = False

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        if self.error is not None or self.asked:
            return Searcher.FINISHED
        job = self._next() if len(self.running) < self.concurrency else self._next_beside()
        if job is not None:
            self.running[trial_id] = job
            config = {"job": replace(job, driver=self.driver).encode()}
            if self._resources.in_group:
                config |= self._assign(trial_id, job)
            return config
        # As long as a job runs, it may break off and have to be given out again.
        return Searcher.FINISHED if self._exhausted and not (self.running or self._again) else None

    def _assign(self, trial_id: str, job: Job) -> dict[str, Any]:
        sizes, resizes = job.experiment.worker_counts, job.tried_again == "always"
        found = self.groups.assign(
            trial_id, self._resources, self._storage, sizes=sizes, slots=self.slots, resizes=resizes
        )
        size, before = found["size"], self._sizes.get(job.key, sizes[-1])
        if size != before and resizes and not found["waits"]:
            words = f"trained by {size} of {sizes[-1]} workers from now on"
            self._guarded(functools.partial(self.source.remarked, job, words), otherwise=None)
        self._sizes[job.key] = size
        return found

    def stop(self, asked: str) -> None:
        """Take that a signal asks to stop."""
        self.asked = asked

    def look(self, at_work: int) -> None:
        """Ask the workers to save their runs and leave, once it is time for that.

        Args:
            at_work: trials that have a process.
        """
        self._at_work = at_work > 0
        if self.asked and not self._has_asked:
            self._has_asked = True
            ask_to_stop(self.driver, f"the command was sent {self.asked}")
            words = f"asked to stop by {self.asked}: saving what is under way (runs: {at_work}); once more ends it now"
            self._guarded(lambda: self.source.noticed(words), otherwise=None)

    @property
    def is_over(self) -> bool:
        """Whether all trials are to end, wherever they are: the source has failed, or all that were to be saved are."""
        return self.error is not None or (self._has_asked and not self._at_work)

    @property
    def waits_for_room(self) -> bool:
        """Whether a run that broke off is to be started again."""
        return bool(self._again)

    def _next_again(self) -> Job | None:
        for i, (since, job) in enumerate(self._again):
            if since <= time.monotonic():
                del self._again[i]
                return job
        return None

    def _next_beside(self) -> Job | None:
        """A run that broke off, where a cluster with room for fewer whole runs has room for its fewest workers."""
        elastic = self._resources.fewest_workers < self._resources.most_workers
        if not (elastic and self.running and self.groups.has_room(self._resources, self.slots)):
            return None
        return self._next_again()

    def _next(self) -> Job | None:
        if (job := self._next_again()) is not None:
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
        self.silences.forget(trial_id)
        if job is None or self.error is not None:  # What is under way when the source fails has not ended.
            return
        if trial_id in self.stopped:
            self.groups.stop(trial_id)
            outcome = Outcome(status=Status.STOPPED)
        elif error:
            broke, outcome = broken(self.failures.pop(trial_id), job, silent=trial_id in self.silences.ended)
            if broke is Break.DEATH:  # and with the node of its process others may be gone
                self.let_waiting_go()
            if broke is Break.ERROR:
                self.groups.take_back(trial_id, failed=True)
            else:
                self.groups.discard(trial_id)
            if self.asked:  # The next command goes on with it.
                self._guarded(lambda: self.source.remarked(job, outcome.reason), otherwise=None)
                return
            once = job.tried_again == "never" or (job.tried_again == "after_death" and broke is Break.ERROR)
            pause = None if once else self._restarts.decide(job.key, broke)
            if pause is not None:
                self._again.append((time.monotonic() + pause, job))
                self._guarded(lambda: self.source.restarted(job, outcome.reason), otherwise=None)
                return
        elif result and DIVERGED in result:
            self.groups.take_back(trial_id, failed=True)
            outcome = Outcome(status=Status.DIVERGED, reason=result[DIVERGED])
        else:
            self.groups.take_back(trial_id, failed=False)
            outcome = Outcome(status=Status.FINISHED)
        self._guarded(lambda: self.source.ended(job, outcome), otherwise=None)

    def hear(self, trial_id: str, said: Mapping[str, Any]) -> bool:
        """Hand what a trial says to the source; True if its run is to stop.  Of what it warns of, each text once."""
        for warning in json.loads(said.get(WARNINGS, "[]")):
            if warning not in self._warned:
                self._warned.add(warning)
                self._guarded(functools.partial(self.source.noticed, f"warning: {warning}"), otherwise=None)
        if (job := self.running.get(trial_id)) is None or self.error is not None:
            return REPORT in said
        for remark in json.loads(said.get(REMARKS, "[]")):
            self._guarded(functools.partial(self.source.remarked, job, remark), otherwise=None)
        if GOES_ON in said:
            self._guarded(lambda: self.source.went_on(job), otherwise=None)
        if STATUS in said:
            status = StatusReport.from_json(said[STATUS])
            self._restarts.progressed(job.key, status.images)
            self._guarded(lambda: self.source.progressed(job, status), otherwise=None)
        if REPORT not in said:
            return False
        report = Report.from_json(said[REPORT])
        self._restarts.progressed(job.key, report.images)
        stop = self._guarded(lambda: self.source.reported(job, report), otherwise=True)
        if stop:
            self.stopped.add(trial_id)
        return stop

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
        self.searcher.silences.heard(trial.trial_id, functools.partial(end_process, tune_controller, trial))
        return str(TrialScheduler.STOP if self.searcher.hear(trial.trial_id, result) else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        # `trial.get_pickled_error` looks where Tune copies it later; what is not raised by a task is there as text.
        pickled, text = trial.pickled_error_file, trial.error_file
        if pickled:
            failure: BaseException = ray.cloudpickle.loads(Path(pickled).read_bytes())
        else:
            failure = RayError(Path(text).read_text() if text and Path(text).exists() else "Ray could not run it")
        self.searcher.failures[trial.trial_id] = failure


class _DriverStopper(_DriverOnly, tune.Stopper):
    """Ends all trials when that is due."""

    def __init__(self, searcher: _JobSearcher) -> None:
        self.searcher = searcher

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.searcher.is_over


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
            self.searcher.source.befell(f"a node has {words}, which has {self.capacity.words} now")
        self._resize()

    def _resize(self) -> None:
        wanted = self.capacity.trials if self.limit is None else min(self.limit, self.capacity.trials)
        self.searcher.concurrency = max(wanted, 1)
        self.searcher.slots = self.capacity.slots
        self.searcher.groups.fit(self.capacity.slots, grow=not self.searcher.waits_for_room)


class _TickCallback(_DriverOnly, tune.Callback):
    """Lets the workers be asked to stop, and the source show its progress about once a second."""

    def __init__(self, room: _Room) -> None:
        self.room = room
        self.last = 0.0

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        self.room.searcher.look(sum(trial.status == trial.RUNNING for trial in trials))
        now = time.monotonic()
        if now - self.last >= 1:
            self.last = now
            self.room.searcher.silences.look(self.room.searcher.running)
            self.room.look()
            self.room.searcher.source.tick(self.room.capacity)
