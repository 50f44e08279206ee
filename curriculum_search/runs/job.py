"""What is handed out and what comes back: a job is one training run, an outcome is how it ended."""

import errno
import re
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Self

from curriculum_search.atomic import DiskFullError
from curriculum_search.experiment import Experiment
from curriculum_search.loading import define_plugins, validated
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.watch import ProcessId
from curriculum_search.training import Report, StatusReport


@dataclass(frozen=True, kw_only=True, repr=False)
class Job:
    """One training run.

    Attributes:
        key: the experiment's identity, which is also the name of the run's folder.
        experiment: the resolved experiment.
        run_dir: the run's folder.
        cache_dir: where reference statistics are kept between runs.
        plugins: name to source text of the files that define kinds of the user's own.
        working_dir: the command's current folder, which relative paths in the experiment start at.
        driver: the process that hands it out, whose death ends the run; None: nobody to be watched.
        tried_again: whether it is started again where it broke off: always, only where that was not its own error, or
            never.
        bucket: the address of the run's folder in a bucket, which its workers copy their files to; "" where `run_dir`
            is on storage that all nodes see, or is of no use afterwards.
    """

    key: str
    experiment: Experiment
    run_dir: Path
    cache_dir: Path
    plugins: Mapping[str, str]
    working_dir: Path
    driver: ProcessId | None = None
    tried_again: Literal["always", "after_death", "never"] = "always"
    bucket: str = ""

    def __repr__(self) -> str:
        return f"Job({self.key})"

    def encode(self) -> dict[str, Any]:
        """The job as plain values, for a process in which the user's own kinds are not defined yet."""
        return {**vars(self), "experiment": self.experiment.to_dict(), "plugins": dict(self.plugins)}

    @classmethod
    def decode(cls, fields: Mapping[str, Any]) -> Self:
        """The job that `encode` wrote; defines the user's own kinds in this process first."""
        define_plugins(fields["plugins"])
        return cls(**{**fields, "experiment": validated(Experiment, fields["experiment"], fields["key"])})


class Status(Enum):
    """How a run ended.

    FINISHED: it saw all its images.
    STOPPED: the stopping rule ended it early.
    DIVERGED: a loss, weight or image was not finite.
    FAILED: an error that a restart did not mend.
    LOST: its processes or nodes died time and again, which is not its fault; the next command goes on with it.
    """

    FINISHED = "finished"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    FAILED = "failed"
    LOST = "lost"

    @property
    def is_failure(self) -> bool:
        """Whether the run may come to another end when it is tried again."""
        return self in (Status.FAILED, Status.LOST)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: how.
        reason: in words why, if it went wrong.
        trace: where the error was raised, if one ended it.
    """

    status: Status
    reason: str = ""
    trace: str = ""

    @property
    def disk_full(self) -> str:
        """What the run said of a disk that was full, which is not its own fault; nothing if none was."""
        kind, _, words = self.reason.partition(": ")
        full = kind == DiskFullError.__name__ or re.match(rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT})\]", words)
        return words if full else ""


class RunError(Exception):
    """An error that ended a run, in words, for its own class may not survive the way from the run to the driver.

    Attributes:
        reason: type and message on one line.
        trace: where it was raised, and what it came from.
    """

    def __init__(self, reason: str, trace: str) -> None:
        super().__init__(reason, trace)
        self.reason = reason
        self.trace = trace

    def __str__(self) -> str:
        return self.reason

    @classmethod
    def of(cls, error: BaseException) -> "RunError":
        """What there is to say of an error that is being handled."""
        return cls(one_line(error), "".join(traceback.format_exception(error)))


def one_line(error: BaseException) -> str:
    """An error's type and its message: the first line that says something, for the later ones are advice or detail."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = " ".join(lines[:2]) if lines and lines[0].endswith(":") else (lines or [""])[0]
    return ": ".join(filter(None, [type(error).__name__, message]))


def stamped(line: str) -> str:
    """A line of what has happened, with the time."""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}"


class Exhausted(Enum):
    """What a source of jobs answers when it has none to give.

    WAIT: none before another job has ended.
    DONE: none ever again.
    """

    WAIT = "wait"
    DONE = "done"


class JobSource(ABC):
    """Hands out jobs and hears how they go; every method is called in the driver, one call at a time."""

    @abstractmethod
    def next(self) -> Job | Exhausted:
        """The next job to start, now that there is room for it."""

    @abstractmethod
    def reported(self, job: Job, report: Report) -> bool:
        """Take what a run says at an evaluation; True stops the run."""

    @abstractmethod
    def ended(self, job: Job, outcome: Outcome) -> None:
        """Take how a run ended."""

    def progressed(self, job: Job, status: StatusReport) -> None:  # noqa: B027
        """Take how a run is doing between two evaluations; by default nothing."""

    def went_on(self, job: Job) -> None:  # noqa: B027
        """Take that the evaluation of a run goes on; by default nothing."""

    def restarted(self, job: Job, reason: str) -> None:
        """Take that a run has broken off and is started again; by default only said."""
        self.noticed(f"{job.key} broke off and is started again: {reason}")

    def remarked(self, job: Job, words: str) -> None:
        """Take what has befallen a run, as that it fell back to an older checkpoint; by default only said."""
        self.noticed(f"{job.key}: {words}")

    def befell(self, words: str) -> None:
        """Take what has befallen the cluster, and so all runs that are under way; by default only said."""
        self.noticed(words)

    def noticed(self, line: str) -> None:
        """Take what there is to say of the command, or what a worker has warned of; by default only said."""
        print(stamped(line), flush=True)

    def tick(self, capacity: Capacity) -> None:  # noqa: B027
        """Called about once a second while jobs run, with what the cluster has room for now; by default nothing."""
