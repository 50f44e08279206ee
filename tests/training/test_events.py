"""What follows a step, on one worker and on several."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from curriculum_search.experiment import Cadence, Experiment, Training
from curriculum_search.training.events import MEETING_STEPS, Events, Pace, Schedule

EXPERIMENT = Experiment(
    training=Training(total_images=16 * 400, batch_size=16, num_evaluations=4),
    cadence=Cadence(status_images=16 * 30, checkpoint_images=16 * 80),
)


def events(experiment: Experiment, world_size: int) -> dict[int, Events]:
    """By step, from 1."""
    schedule = Schedule(experiment, world_size)
    return {step: schedule.after(16 * step) for step in range(1, 401)}


@pytest.mark.parametrize("world_size", [1, 2])
def test_statuses_checkpoints_and_evaluations_come_on_clocks_of_their_own(world_size: int) -> None:
    found = events(EXPERIMENT, world_size)
    assert [step for step, due in found.items() if due.evaluation] == [100, 200, 300, 400]
    assert [step for step, due in found.items() if due.checkpoint] == [80, 160, 240, 320, 400]
    assert [step for step, due in found.items() if due.status] == list(range(30, 400, 30))


def test_a_single_worker_asks_after_every_step_and_pauses_only_for_what_is_due() -> None:
    for due in events(EXPERIMENT, 1).values():
        assert due.asks
        assert due.meeting == (due.status or due.checkpoint or due.evaluation)


@pytest.mark.parametrize(
    ("seconds", "every"), [(10.0, 1), (0.6, 1), (0.24, 2), (0.1, 5), (0.02, 25), (0.01, 50), (1e-5, 50), (0.0, 50)]
)
def test_several_workers_meet_after_as_many_steps_as_take_half_a_second_in_the_slowest(
    seconds: float, every: int
) -> None:
    rare = replace(EXPERIMENT, cadence=Cadence(status_images=10**9))
    steps = {own: meetings(rare, own, slowest=seconds) for own in (seconds, seconds / 10)}
    assert steps[seconds] == steps[seconds / 10]
    gaps = [b - a for a, b in pairwise(steps[seconds]) if not {a, b} & {100, 200, 300, 400}]
    assert steps[seconds][:2] == [1, 2]  # after which they know
    assert set(gaps[1:]) == {every}
    assert every <= MEETING_STEPS


def meetings(experiment: Experiment, own: float, *, slowest: float) -> list[int]:
    """After which steps a worker meets the others, whose steps take so long, and its own so long."""
    schedule, met = Schedule(experiment, 2), list[int]()
    told = math.inf
    for step in range(1, 401):
        due = schedule.after(16 * step)
        assert due.asks == due.meeting
        assert due.meeting or not (due.status or due.checkpoint or due.evaluation)
        if due.meeting:
            assert schedule.pace.own_seconds == pytest.approx(math.inf if not met else own)
            schedule.met(told, own * (step - (met[-1] if met else 0)))
            met.append(step)
            told = slowest
    return met


def test_a_worker_that_becomes_slow_is_waited_for_no_longer_than_once() -> None:
    pace = Pace()
    pace.met(math.inf, steps=1, seconds=0.001)
    pace.met(pace.own_seconds, steps=1, seconds=0.001)
    assert pace.steps == 50
    pace.met(pace.own_seconds, steps=50, seconds=100.0)
    assert pace.steps == 50
    pace.met(pace.own_seconds, steps=50, seconds=100.0)
    assert pace.steps == 1
