from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from curriculum_search.curriculum import (
    Curriculum,
    CurriculumSampler,
    Decision,
    Observation,
    Plateau,
    Reason,
    Switch,
    UniformPartition,
)
from curriculum_search.curriculum.plateau import Gate
from curriculum_search.diffusion import Flow, Uniform
from curriculum_search.testing import check_pacing

STEPS = 1000
BATCH = 4
# A patience of 10 steps of a budget of 1,000, and maxima out of the way.
PATIENT = Plateau(patience_share=0.01, max_stage_share=1.0, end_share=1.0, window_steps=1)


def train(pacing: Plateau, losses: Iterator[float], num_clusters: int = 4) -> CurriculumSampler:
    """Follow `pacing` through the whole budget on given mean losses, which the bank gives too."""
    curriculum = Curriculum(num_clusters=num_clusters, partition=UniformPartition(), pacing=pacing)
    sampler = curriculum.build(Flow(), Uniform(), STEPS * BATCH, BATCH, "cpu")
    for step in range(1, STEPS + 1):
        q, _ = sampler.draw(torch.rand(BATCH))
        loss = next(losses)
        # The samples' losses differ; only their mean counts.
        sampler.observe(q, loss + torch.tensor([-0.5, 0.5, 0.25, -0.25]))
        bank = (lambda loss=loss: torch.full((8,), loss, dtype=torch.float64)) if sampler.needs_bank else None
        sampler.update(step * BATCH, bank)
    return sampler


def switches(sampler: CurriculumSampler) -> list[tuple[int, Reason]]:
    """(steps, reason) of every switch of stage."""
    return [(switch.images // BATCH, switch.reason) for switch in sampler.history[1:]]


def rising() -> Iterator[float]:
    loss = 1.0
    while True:
        yield (loss := loss + 1.0)


def falling() -> Iterator[float]:
    loss = 1e6
    while True:
        yield (loss := loss - 1.0)


def improving_at(steps: set[int]) -> Iterator[float]:
    best, step = 1000.0, 0
    while True:
        step += 1
        best -= step in steps
        yield best


@pytest.mark.parametrize("gate", ["raw", "smoothed", "bank"])
def test_every_gate_passes_the_conformance_check(gate: Gate) -> None:
    check_pacing(Plateau(gate=gate))


def test_the_next_stage_begins_when_the_loss_has_not_improved_for_more_than_the_patience() -> None:
    # The first loss is the best: at step 11 it is 10 steps old, at step 12 more than that.  The switch forgets it, so
    # that the first loss of the next stage, higher than it, is the best of that stage.
    assert switches(train(PATIENT, rising())) == [(12, Reason.PLATEAU), (24, Reason.PLATEAU), (36, Reason.PLATEAU)]


def test_an_improvement_starts_the_patience_anew() -> None:
    # Best at step 9, so patience ends after step 19; in the next stages the first loss is the best.
    assert switches(train(PATIENT, improving_at({9})))[0] == (20, Reason.PLATEAU)


def test_the_loss_of_every_step_is_judged_though_it_is_read_once_per_window() -> None:
    # The improvement falls inside a window of 7; the patience runs out at step 20 and the window ends at 21.
    windowed = replace(PATIENT, window_steps=7)
    assert switches(train(windowed, improving_at({9})))[0] == (21, Reason.PLATEAU)


def test_what_a_window_holds_of_a_stage_that_has_ended_is_not_told_to_the_next() -> None:
    told: list[tuple[int, int]] = []

    class Spy(Plateau):
        def decide(self, seen: Observation) -> Decision:
            told.extend((seen.stage_start_images, images) for images, _ in seen.losses)
            return super().decide(seen)

    # Stages end after 10 steps, in the middle of a window of 6.
    pacing = Spy(patience_share=1.0, max_stage_share=0.01, end_share=1.0, window_steps=6)
    assert switches(train(pacing, rising()))[:2] == [(10, Reason.STAGE_LIMIT), (20, Reason.STAGE_LIMIT)]
    assert [images // BATCH for _, images in told] == [*range(1, 7), *range(11, 17), *range(21, 27)]
    assert all(images > start for start, images in told)


def test_only_an_improvement_by_delta_counts() -> None:
    slow = (1.0 - 0.0001 * step for step in range(STEPS))
    assert len(switches(train(replace(PATIENT, delta=0.01), slow))) == 3
    assert switches(train(replace(PATIENT, delta=0.00001), (1.0 - 0.0001 * step for step in range(STEPS)))) == [
        (1000, Reason.END)
    ]


def test_a_falling_loss_is_ended_by_the_longest_stage_and_the_longest_curriculum() -> None:
    limited = replace(PATIENT, max_stage_share=0.3, end_share=0.7)
    assert switches(train(limited, falling())) == [
        (300, Reason.STAGE_LIMIT),
        (600, Reason.STAGE_LIMIT),
        (700, Reason.END),
    ]
    assert train(limited, falling()).stage == 4


def test_where_a_step_is_longer_than_a_stage_may_be_several_stages_end_with_it() -> None:
    fast = replace(PATIENT, max_stage_share=0.0005)  # of a run of 1,000 steps: half a step
    sampler = train(fast, falling(), num_clusters=6)
    assert [(s.images // BATCH, s.stage, s.reason) for s in sampler.history[1:]] == [
        (1, 3, Reason.STAGE_LIMIT),
        (2, 5, Reason.STAGE_LIMIT),
        (3, 6, Reason.STAGE_LIMIT),
    ]


def test_on_a_raw_loss_without_trend_the_gate_fires_after_a_median_of_five_thirds_of_the_patience() -> None:
    # Loss n of a series without trend is its lowest with probability 1 / n, whatever came before.  From that follow a
    # median of 332 and a 90th percentile of 532 steps for a patience of 200.
    pacing = Plateau(patience_share=0.02, max_stage_share=1.0, end_share=1.0)
    random = np.random.default_rng(0)
    fired = []
    for _ in range(600):
        noise = random.standard_normal(4000)
        steps = np.arange(1, len(noise) + 1)
        improves = noise < np.append(np.inf, np.minimum.accumulate(noise)[:-1])
        age = steps - np.maximum.accumulate(np.where(improves, steps, 0))
        first = int(steps[age > 200][0])
        losses = tuple(zip(steps.tolist(), noise.tolist(), strict=True))
        seen = Observation(first, 10_000, 2, 2, stage=1, stage_start_images=0)
        assert not pacing.decide(replace(seen, losses=losses[: first - 1])).advances
        assert pacing.decide(replace(seen, losses=losses[:first])).reason is Reason.PLATEAU
        fired.append(first)
    assert np.median(fired) == pytest.approx(332, rel=0.07)
    assert np.quantile(fired, 0.9) == pytest.approx(532, rel=0.07)


@pytest.mark.parametrize(("gate", "reasons"), [("raw", {Reason.PLATEAU}), ("smoothed", {Reason.STAGE_LIMIT})])
def test_smoothing_sees_a_trend_that_noise_hides(gate: Gate, reasons: set[Reason]) -> None:
    random = np.random.default_rng(1)
    noisy_trend = (10.0 - 0.006 * step + random.standard_normal() for step in range(STEPS))
    pacing = Plateau(
        gate=gate, patience_share=0.05, smoothing_share=0.05, max_stage_share=0.25, end_share=1.0, window_steps=5
    )
    reached = {reason for _, reason in switches(train(pacing, noisy_trend))[:2]}
    assert reached == reasons


def count_bank_looks(pacing: Plateau, loss: Callable[[int], float]) -> tuple[CurriculumSampler, list[int]]:
    curriculum = Curriculum(num_clusters=3, partition=UniformPartition(), pacing=pacing)
    sampler = curriculum.build(Flow(), Uniform(), STEPS * BATCH, BATCH, "cpu")
    looks: list[int] = []
    for step in range(1, STEPS + 1):

        def bank(step: int = step) -> torch.Tensor:
            looks.append(step)
            return torch.full((30,), loss(step), dtype=torch.float64)

        sampler.update(step * BATCH, bank)
    return sampler, looks


def test_the_bank_is_looked_at_a_few_times_per_patience_and_never_after_the_last_stage_began() -> None:
    pacing = Plateau(gate="bank", patience_share=0.04, checks_per_patience=4, max_stage_share=1.0, end_share=1.0)
    sampler, looks = count_bank_looks(pacing, lambda step: 1.0)
    # First look after 10 steps, best since then; at the sixth look 50 steps without improvement are more than 40.
    assert looks == [*range(10, 61, 10), *range(70, 121, 10)]
    assert sampler.history[1:] == [
        Switch(60 * BATCH, 2, Reason.PLATEAU),
        Switch(120 * BATCH, 3, Reason.PLATEAU),
    ]


def test_the_bank_is_averaged_over_the_levels_in_training() -> None:
    # Losses fall at the two locked clusters only (the clean two thirds): stage 1 sees a plateau.
    pacing = Plateau(gate="bank", patience_share=0.04, max_stage_share=1.0, end_share=1.0)
    curriculum = Curriculum(num_clusters=3, partition=UniformPartition(), pacing=pacing)
    sampler = curriculum.build(Flow(), Uniform(), STEPS * BATCH, BATCH, "cpu")
    for step in range(1, 101):
        locked = torch.full((20,), 100.0 - step, dtype=torch.float64)
        bank = torch.cat([locked, torch.ones(10, dtype=torch.float64)])
        sampler.update(step * BATCH, partial(torch.clone, bank))
    assert [switch.images for switch in sampler.history] == [0, 60 * BATCH]


def test_a_bank_gate_without_a_bank_and_a_loss_gate_without_losses_are_errors() -> None:
    def sampler(pacing: Plateau) -> CurriculumSampler:
        return Curriculum(pacing=pacing).build(Flow(), Uniform(), 1000, 4, "cpu")

    with pytest.raises(ValueError, match="gate 'bank' needs the loss on a fixed bank: pass bank_losses"):
        sampler(Plateau(gate="bank")).update(40)
    silent = sampler(Plateau(window_steps=3))
    silent.update(4)
    silent.update(8)
    with pytest.raises(ValueError, match="none of the last 3 steps had one: pass every step's losses to observe"):
        silent.update(12)


# Four clusters; a stage is over after 2 steps at most, or after 1.
@pytest.mark.parametrize(("max_stage_share", "steps"), [(0.002, 4), (0.001, 3)])
def test_losses_that_never_come_are_an_error_though_every_stage_is_shorter_than_a_window(
    max_stage_share: float, steps: int
) -> None:
    pacing = replace(PATIENT, max_stage_share=max_stage_share, window_steps=4)
    sampler = Curriculum(num_clusters=4, pacing=pacing).build(Flow(), Uniform(), STEPS * BATCH, BATCH, "cpu")
    for step in range(1, steps):
        sampler.update(step * BATCH)
    assert sampler.stage > 1
    with pytest.raises(
        ValueError, match=f"none of the last {steps} steps had one: pass every step's losses to observe"
    ):
        sampler.update(steps * BATCH)


def test_losses_in_short_stages_are_enough_and_a_restored_run_counts_silent_steps_on() -> None:
    pacing = replace(PATIENT, max_stage_share=0.003, window_steps=4)
    build = Curriculum(num_clusters=40, pacing=pacing).build
    sampler = build(Flow(), Uniform(), STEPS * BATCH, BATCH, "cpu")
    for step in range(1, 31):
        if step % 4 == 1:
            sampler.observe(torch.zeros(BATCH), torch.ones(BATCH))
        sampler.update(step * BATCH)
    assert sampler.stage == 11
    resumed = build(Flow(), Uniform(), STEPS * BATCH, BATCH, "cpu")
    resumed.load_state_dict(sampler.state_dict())
    resumed.update(31 * BATCH)
    resumed.update(32 * BATCH)
    with pytest.raises(ValueError, match="none of the last 4 steps had one"):
        resumed.update(33 * BATCH)
