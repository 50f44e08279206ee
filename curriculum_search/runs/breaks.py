"""How a trial broke off, told from the error that Ray has of it."""

import re
from collections.abc import Iterator

from ray.exceptions import RayError, RayTaskError

from curriculum_search.runs.job import Job, Outcome, RunError, Status, one_line
from curriculum_search.runs.notices import Stopped
from curriculum_search.runs.restarts import Break
from curriculum_search.runs.watch import STACKS


def broken(failure: BaseException, job: Job, *, silent: bool = False) -> tuple[Break, Outcome]:
    """How a trial broke off, from what Tune has of it, and what to say of it if that was its end.

    Args:
        failure: what Tune has.
        job: what it did.
        silent: whether its process was ended from outside for its silence.
    """
    causes = list(_causes(failure))
    stops = [cause for cause in causes if type(cause) is Stopped]  # not what Ray makes of it, with a trace in its words
    if stops:
        told = next((stop for stop in stops if stop.reason), stops[0])
        return Break.NOTICE, Outcome(status=Status.LOST, reason=str(told))
    error = next((cause for cause in causes if isinstance(cause, RunError)), None)
    if error is not None:
        return Break.ERROR, Outcome(status=Status.FAILED, reason=error.reason, trace=error.trace)
    trace = re.sub(r"\x1b\[[0-9;]*m", "", str(failure))
    left = (path for path in sorted(job.run_dir.glob(f"*{STACKS}")) if "Timeout (" in path.read_text())
    stacks = next(left, None)
    if stacks or silent:
        minutes = job.experiment.cadence.silence_minutes
        where = f"{stacks} has where" if stacks else "its process could not say where"
        reason = f"it said nothing for {minutes:g} minutes (cadence.silence_minutes) and was ended; {where}"
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
