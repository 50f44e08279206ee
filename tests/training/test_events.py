"""What follows a step, on one worker and on several."""

from dataclasses import replace
from itertools import pairwise

import pytest

from curriculum_search.experiment import Cadence, Experiment, Training
from curriculum_search.training.events import MEETING_STEPS, Events, Schedule

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


def test_several_workers_ask_where_they_meet_which_is_often_enough_whatever_the_cadence() -> None:
    rare = replace(EXPERIMENT, cadence=Cadence(status_images=10**9))
    for experiment in (EXPERIMENT, rare):
        found = events(experiment, 2)
        meetings = [0, *(step for step, due in found.items() if due.meeting)]
        assert max(b - a for a, b in pairwise(meetings)) <= MEETING_STEPS
        assert all(due.asks == due.meeting for due in found.values())
        assert all(due.meeting for due in found.values() if due.status or due.checkpoint or due.evaluation)
    assert [step for step, due in found.items() if due.meeting] == list(range(50, 401, 50))
