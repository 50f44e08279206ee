"""What a worker does with its jobs, alone or together with the others of its group: it trains, and says so."""

import contextlib
import gc
import importlib
import itertools
import json
import math
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
import ray.train.torch
import torch
import torch.distributed as dist
from ray import tune

from curriculum_search import distributed
from curriculum_search.evaluation import Diverged
from curriculum_search.experiment import CommandTrainer, Trainer
from curriculum_search.lock import locked
from curriculum_search.runs import placement
from curriculum_search.runs.folder import WORKERS_LOCK, RunFolder, is_workers_file
from curriculum_search.runs.isolation import isolated
from curriculum_search.runs.job import Job, RunError
from curriculum_search.runs.mailbox import DIVERGED, GOES_ON, REMARKS, REPORT, STATUS, WARNINGS, End
from curriculum_search.runs.notices import Stopped, listening
from curriculum_search.runs.watch import Watch, watching
from curriculum_search.storage import shared_run
from curriculum_search.trainers import train
from curriculum_search.training import Interrupted, PlainSession, Report, StatusReport, default_device

_PACKAGE = str(Path(__file__).parents[1])
_PATIENCE_SECONDS = 60.0  # with another process that writes to the same run
_GOES_ON_SECONDS = 30.0  # between two messages that an evaluation goes on
_COLLECTIVE_TIMEOUT = timedelta(minutes=30)  # as Ray Train has it

Send = Callable[[dict[str, Any]], None]


def run_trial(config: dict[str, Any]) -> None:
    """The function that Tune runs for a trial of one worker: trains ``config["job"]``, from its checkpoint if it has
    one, and reports to Tune."""
    try:
        train_one(config["job"], tune.report, default_device())
    except Diverged as error:
        tune.report({"images": 0, DIVERGED: str(error)})


def run_member(config: dict[str, Any]) -> None:
    """The function that Ray Train runs in each worker of the group ``config["group"]``, until its process is ended, or
    a job has been asked to leave it."""
    if distributed.rank() == 0:
        placement.remember(config["group"])
    member = _Member(config["group"])
    for number in itertools.count(1):
        leaves = member.attempt(number, _got(member.mailbox.take.remote(number)))
        failed = _got(member.mailbox.settle.remote(number, member.rank))
        if leaves:
            return
        if failed:
            member.connect(number)


class _Member:
    """One of the workers of a group."""

    def __init__(self, group: str) -> None:
        importlib.import_module("torch._dynamo")  # which DistributedDataParallel needs: before the first job, not in it
        self.group = group
        self.mailbox: Any = ray.get_actor(group)
        self.rank, self.size = distributed.rank(), distributed.world_size()
        self.device = ray.train.torch.get_device()
        self.backend = dist.get_backend()
        self.connect(0)

    def connect(self, number: int) -> None:
        """Connect to the other workers anew, after a job that failed in one of them.

        A worker that fails takes its connections down, or those that wait for it in a collective would wait for ever.
        What holds on to its sockets, such as a child process, must not have begun before they did.
        """
        if dist.is_initialized():
            dist.destroy_process_group()
        address = None
        if self.rank == 0:
            address = ray.util.get_node_ip_address(), distributed.free_port()  # type: ignore[no-untyped-call]
        host, port = _got(self.mailbox.meet.remote(number, address))
        os.environ.update(MASTER_ADDR=host, MASTER_PORT=str(port))
        dist.init_process_group(self.backend, rank=self.rank, world_size=self.size, timeout=_COLLECTIVE_TIMEOUT)

    def attempt(self, number: int, fields: dict[str, Any]) -> bool:
        """Do a job as far as it goes; whether the worker is to leave."""

        def send(message: dict[str, Any]) -> None:
            ends = self.rank == 0 and _got(self.mailbox.say.remote(number, message))
            flag = torch.tensor([ends], dtype=torch.int64, device=self.device)
            if distributed.all_gather_cat(flag).any():
                raise SystemExit  # as Tune does it with a trial of one worker

        def add(message: dict[str, Any]) -> None:
            _got(self.mailbox.add.remote(number, self.rank, message))

        try:
            train_one(fields, send, self.device, group=self.group, add=add)
        except SystemExit:
            return False
        except Diverged as error:
            end = End(diverged=str(error))
        except Stopped as stop:
            end = End(error=Stopped(stop.reason, stop.images), knows_why=bool(stop.reason))
        except RunError as error:  # which holds on to what it came from, and so to the network and its connections
            end = End(error=RunError(error.reason, error.trace))
        else:
            return False
        gc.collect()
        _got(self.mailbox.fail.remote(number, end))
        if isinstance(end.error, Stopped):
            return True
        dist.destroy_process_group()
        return False


def _got(reference: Any) -> Any:
    return ray.get(reference)


def _seconds_to_end(trainer: Trainer) -> int:
    """How long a run that has been stopped may take to come to its end before its process is given up: Tune's own 2
    seconds are too few for a program that is asked to."""
    return 30 + (math.ceil(trainer.stop_seconds) if isinstance(trainer, CommandTrainer) else 0)


class _Session(PlainSession):
    """The home of a run in a worker of Ray's.

    Remarks are sent as they are made.  Tune takes what a trial of one worker says from the thread that trains alone, so
    one that another thread makes, such as that which copies files, waits until that one next asks or says anything.

    Attributes:
        watch: hears of all that is said.
        caught: warnings that have not been sent.
    """

    watch: Watch
    caught: list[warnings.WarningMessage]

    def __init__(self, run_dir: Path, device: torch.device, send: Send, add: Send | None) -> None:
        super().__init__(run_dir=run_dir, device=device)
        self._send_together, self._add = send, add
        self._remarks: deque[str] = deque()
        self._thread = threading.get_ident()
        self._went_on = time.monotonic()

    @property
    def should_stop(self) -> bool:
        """Whether the worker is to leave."""
        self.say_remarks()
        return self._should_stop

    @should_stop.setter
    def should_stop(self, value: bool) -> None:
        self._should_stop = value

    def stop(self) -> None:
        """Ask the worker to leave."""
        self.should_stop = True

    def report(self, report: Report) -> None:
        """Send it."""
        # As text: Tune would take a mapping apart, and copy it several times.
        self._send({"images": report.images, REPORT: report.to_json()})

    def status(self, status: StatusReport) -> None:
        """Send it."""
        self._send({"images": status.images, STATUS: status.to_json()})

    def remark(self, words: str) -> None:
        """Send it, or have it sent."""
        self._remarks.append(words)
        self.say_remarks()

    def goes_on(self) -> None:
        """Tell the watch, and now and then the driver."""
        self.watch.said()
        if distributed.rank() == 0 and time.monotonic() - self._went_on >= _GOES_ON_SECONDS:
            self._went_on = time.monotonic()
            self._send_alone({"images": 0, GOES_ON: True})

    def say_remarks(self) -> None:
        """Send the remarks that wait, if this thread can."""
        if self._add is None and threading.get_ident() != self._thread:
            return
        while self._remarks:
            self._send_alone({"images": 0, REMARKS: json.dumps([self._remarks.popleft()])})

    def _send(self, message: dict[str, Any]) -> None:
        self.say_remarks()
        ours = [str(warning.message) for warning in self.caught if warning.filename.startswith(_PACKAGE)]
        self.caught.clear()
        self._send_together(message | ({WARNINGS: json.dumps(ours)} if ours else {}))
        self.watch.said()

    def _send_alone(self, message: dict[str, Any]) -> None:
        (self._send_together if self._add is None else self._add)(message)


def train_one(
    fields: dict[str, Any], send: Send, device: torch.device, *, group: str = "", add: Send | None = None
) -> None:
    """Train a job in this process, which is as it was before, afterwards.

    Args:
        fields: the job as `Job.encode` writes it.
        send: takes what the run says; every worker of the run calls it at the same points.
        device: what to compute on.
        group: that this worker belongs to, if it does.
        add: takes what one of several workers says for itself, in any thread; None: there is only this one.

    Raises:
        Diverged: a loss, weight or generated image is not finite.
        Stopped: the worker was asked to leave, and has saved the run.
        RunError: anything else went wrong.
    """
    with isolated():
        if fields["working_dir"].is_dir():  # Ray starts a worker elsewhere.
            os.chdir(fields["working_dir"])
        try:
            job = Job.decode(fields)
            os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = str(_seconds_to_end(job.experiment.trainer))
            job.run_dir.mkdir(parents=True, exist_ok=True)
            session = _Session(job.run_dir, device, send, add)
            limit = job.experiment.cadence.silence_minutes
            with (
                warnings.catch_warnings(record=True) as session.caught,
                _only_writer(job.run_dir),
                watching(job.run_dir, rank=distributed.rank(), driver=job.driver, limit_minutes=limit) as session.watch,
                listening(job.driver, session.stop, group=group) as notices,
            ):
                try:
                    with shared_run(
                        job.bucket,
                        job.run_dir,
                        rank=distributed.rank(),
                        world_size=distributed.world_size(),
                        is_workers=is_workers_file,
                        tidy=RunFolder(job.run_dir).tidy,
                        tell=session.remark,
                    ):
                        train(job.experiment, session, job.cache_dir)
                except Interrupted as stop:
                    session.say_remarks()
                    raise Stopped(notices.reason, stop.images) from None
                except Exception:
                    session.say_remarks()
                    raise
                session.say_remarks()
        except (Diverged, Stopped):
            raise
        except Exception as error:
            raise RunError.of(error) from None


@contextlib.contextmanager
def _only_writer(run_dir: Path) -> Iterator[None]:
    """Keep another process out of a run's folder, such as the worker of a driver that was killed, which ends soon.

    The lock is not that of the folder, which jobs/train.py holds while a worker trains its run.

    Raises:
        RuntimeError: it did not end.
    """
    with contextlib.ExitStack() as stack:
        if distributed.rank() == 0:  # which alone writes there
            try:
                stack.enter_context(locked(run_dir / WORKERS_LOCK, seconds=_PATIENCE_SECONDS))
            except BlockingIOError:
                raise RuntimeError(
                    f"another process still trains this run in {run_dir}, after {_PATIENCE_SECONDS:.0f} s; end it"
                ) from None
        yield
