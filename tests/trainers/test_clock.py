"""The clock of a run: images, seconds, and the random numbers that place noise levels."""

import time

import pytest
import torch
from support.own_training import NOTHING
from trainers.conftest import MakeOwn

from curriculum_search.adapters import Quantiles
from curriculum_search.experiment import OwnTrainer
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.trainers.clock import Clock
from curriculum_search.training import StatusReport
from curriculum_search.training.randomness import StepRandom


@pytest.fixture
def clock(own: MakeOwn) -> Clock:
    experiment = own(NOTHING)
    assert isinstance(experiment.trainer, OwnTrainer)
    clock = Clock(Assignment.of(experiment, experiment.trainer), torch.device("cpu"), list[StatusReport]().append)
    clock.take(Quantiles(Assignment.of(experiment, experiment.trainer).curriculum, total_images=320))
    return clock


def draw(clock: Clock, batch_size: int = 16) -> torch.Tensor:
    assert isinstance(clock.sampler, Quantiles)
    return clock.sampler.quantiles(batch_size, "cpu")


def test_the_numbers_are_those_that_the_native_loop_draws(clock: Clock) -> None:
    random = StepRandom(seed=0, batch_size=16, noise_shards=8, rank=0, world_size=1, device=torch.device("cpu"))
    for images in (0, 16, 32):
        assert torch.equal(clock.uniforms(images, 16, torch.device("cpu")), random.uniforms("level", images))


def test_a_report_is_due_from_a_step_that_reaches_an_evaluation_to_the_next_draw(clock: Clock) -> None:
    due = []
    for _ in range(11):
        draw(clock)
        due += [(clock.images_seen, clock.is_due(), clock.is_due())]
    assert [images for images, first, second in due if first and second] == [80, 160]
    assert all(first == second for _, first, second in due)


def test_a_report_that_nobody_asked_for_in_time_stays_due(clock: Clock) -> None:
    for _ in range(6):
        draw(clock)
    assert clock.is_due()
    draw(clock)
    assert not clock.is_due()


def test_draws_in_parts_of_a_step_are_counted_like_any_others(clock: Clock) -> None:
    due = []
    for _ in range(10):
        draw(clock, 8)
        draw(clock, 8)
        due.append(clock.is_due())
    assert [16 * (i + 1) for i, is_due in enumerate(due) if is_due] == [80, 160]


def test_seconds_stand_while_an_evaluation_is_due(clock: Clock) -> None:
    for _ in range(5):
        draw(clock)
    before = time.perf_counter()
    assert clock.is_due()
    time.sleep(0.2)
    assert clock.view().seconds < clock.seconds + 0.1 + time.perf_counter() - before - 0.2
    seconds = clock.seconds
    time.sleep(0.1)
    assert clock.view().seconds == seconds


def test_validation_is_neither_counted_nor_due(clock: Clock) -> None:
    assert clock.sampler is not None
    for _ in range(4):
        draw(clock)
    with clock.sampler.validation():
        for _ in range(40):
            draw(clock)
    assert clock.images_seen == 64
    assert not clock.is_due()
