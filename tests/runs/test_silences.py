"""A run whose process cannot end itself is ended from outside, when it has been silent beyond its limit."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest
from support.jobs import Jobs, base_job
from support.workplace import Workplace, wait_for

from curriculum_search.experiment import Cadence, Experiment, Resources
from curriculum_search.runs import silences
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.job import Job, Status
from curriculum_search.runs.silences import Silences


class Course:
    """Trials that are heard of, on a clock of their own."""

    def __init__(self, workplace: Workplace, limits: dict[str, float | None]) -> None:
        job, self.now = base_job(workplace, workplace.load(), "run"), 1_000.0
        self.jobs: dict[str, Job] = {
            trial: replace(job, experiment=replace(Experiment(), cadence=Cadence(silence_minutes=limit)))
            for trial, limit in limits.items()
        }
        self.silences = Silences(lambda: self.now)
        self.ended: list[str] = []

    def heard(self, trial: str) -> None:
        self.silences.heard(trial, lambda: self.ended.append(trial))

    def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1.0
            self.silences.look(self.jobs)


def test_a_trial_is_ended_once_a_minute_after_its_limit(workplace: Workplace) -> None:
    course = Course(workplace, {"a": 2.0, "b": 4.0, "c": None, "never heard of": 2.0})
    for trial in ("a", "b", "c"):
        course.heard(trial)
    course.pass_seconds(100)
    course.heard("a")
    course.pass_seconds(180)
    assert course.ended == []
    course.pass_seconds(1)
    assert course.ended == ["a"]
    course.pass_seconds(1_000)
    assert course.ended == ["a", "b"]
    assert course.silences.ended == {"a", "b"}


def test_while_nobody_listened_nobody_was_silent(workplace: Workplace) -> None:
    course = Course(workplace, {"a": 2.0})
    course.heard("a")
    course.now += 10_000  # as of a driver that was halted
    course.pass_seconds(120)
    assert course.ended == []


def test_of_a_trial_that_is_over_nothing_is_expected(workplace: Workplace) -> None:
    course = Course(workplace, {"a": 2.0})
    course.heard("a")
    course.silences.forget("a")
    course.pass_seconds(1_000)
    assert course.ended == []


class Halted(Jobs):
    """Halts the process of its first run in its second evaluation, which is held up."""

    def __init__(self, workplace: Workplace, jobs: list[Job]) -> None:
        super().__init__(jobs)
        self.workplace, self.pid = workplace, 0

    def tick(self, capacity: Capacity) -> None:
        witnessed = self.workplace.witnessed()
        if not self.pid and len(witnessed) == 2:
            self.pid = int(witnessed[-1].split()[0])
            os.kill(self.pid, signal.SIGSTOP)
            self.workplace.hold_after(None)


def test_a_run_whose_process_is_halted_fails_and_the_next_is_trained(
    make_workplace: Callable[[], Workplace], two_cpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silences, "_GRACE_SECONDS", 1.0)
    workplace = make_workplace()
    workplace.hold_after(1)
    file = workplace.load(workplace.watched(), "base.cadence.silence_minutes=0.2")
    source = Halted(workplace, [base_job(workplace, file, key) for key in ("halted", "next")])
    run_jobs(source, resources=Resources(), limit=1, scratch=workplace.folder / "tune")
    halted = source.outcomes["halted"]
    assert halted.status is Status.FAILED
    words = "it said nothing for 0.2 minutes (cadence.silence_minutes) and was ended; its process could not say where"
    assert halted.reason == words
    assert source.outcomes["next"].status is Status.FINISHED
    assert source.restarts == {}
    assert wait_for(lambda: not os.path.exists(f"/proc/{source.pid}"), 60)
