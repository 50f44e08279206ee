"""How a trial broke off is told from what Ray wraps the error in."""

from collections.abc import Callable

import pytest
import ray
from ray.exceptions import ActorDiedError, RayTaskError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from support.jobs import base_job
from support.workplace import Workplace

from curriculum_search.runs.breaks import broken
from curriculum_search.runs.job import Job, Outcome, RunError, Status
from curriculum_search.runs.notices import Stopped
from curriculum_search.runs.restarts import Break


@pytest.fixture
def job(make_workplace: Callable[[], Workplace]) -> Job:
    workplace = make_workplace()
    return base_job(workplace, workplace.load(), "group")


def sent(failure: Exception) -> Exception:
    """An error of a trial as the driver gets it."""
    wrapped = RayTaskError("train", "Traceback of Ray", failure).as_instanceof_cause()  # type: ignore[no-untyped-call]
    again: Exception = ray.cloudpickle.loads(ray.cloudpickle.dumps(wrapped))  # type: ignore[no-untyped-call]
    return again


def test_of_several_workers_the_one_that_raised_is_told_not_the_one_that_went_down_with_it(
    job: Job,
) -> None:
    raised = RunError("OSError: disk full", "Traceback ...")
    lost = WorkerHealthCheckFailedError("A worker health check failed.", ActorDiedError())
    group = WorkerGroupError("two workers failed", {0: lost, 1: raised})
    outcome = Outcome(status=Status.FAILED, reason="OSError: disk full", trace="Traceback ...")
    assert broken(sent(group), job) == (Break.ERROR, outcome)


def test_of_several_workers_the_one_that_was_asked_to_leave_is_told_and_none_that_went_down_with_it(job: Job) -> None:
    lost = WorkerHealthCheckFailedError("A worker health check failed.", ActorDiedError())
    asked = Stopped("its node is being drained", 160)
    group = WorkerGroupError("all left", {0: Stopped("", 160), 1: RunError("OSError: gone", "..."), 2: asked, 3: lost})
    outcome = Outcome(status=Status.LOST, reason="its node is being drained; it is saved at 160 images")
    assert broken(sent(group), job) == (Break.NOTICE, outcome)


def test_a_trial_of_one_worker_that_was_asked_to_leave_says_so_in_its_own_words(job: Job) -> None:
    outcome = Outcome(status=Status.LOST, reason="its process was sent SIGTERM; it is saved at 1,600 images")
    assert broken(sent(Stopped("its process was sent SIGTERM", 1_600)), job) == (Break.NOTICE, outcome)
