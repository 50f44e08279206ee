from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from curriculum_search.curriculum import (
    Accumulation,
    Cumulative,
    Curriculum,
    CurriculumSampler,
    Decision,
    EasyToHard,
    HardToEasy,
    Linear,
    Newest,
    Observation,
    Pacing,
    Plateau,
    RandomOrder,
    Reason,
    Replay,
    Step,
    Switch,
    UniformPartition,
    UnionDensity,
)
from curriculum_search.diffusion import DDPM, EDM, Beta, Density, Flow, Histogram, LossSecondMoment, Process, Uniform
from curriculum_search.testing import check_curriculum_sampler

TOTAL = 1000
FOUR = Curriculum(num_clusters=4, partition=UniformPartition(), pacing=Linear(end_share=1.0))
PACINGS = [Pacing.from_dict({"kind": kind}) for kind in sorted(Pacing.kinds())]
GATES: list[Pacing] = [Plateau(gate="smoothed"), Plateau(gate="bank")]
QUARTERS = np.array([0.25, 0.5, 0.75])
GRID = (torch.arange(4096, dtype=torch.float64) + 0.5).float() / 4096


def build(
    curriculum: Curriculum = FOUR, process: Process | None = None, density: Density | None = None, device: str = "cpu"
) -> CurriculumSampler:
    return curriculum.build(process or Flow(), density or Uniform(), TOTAL, 10, device)


def advance(sampler: CurriculumSampler, images: int) -> CurriculumSampler:
    """Train to `images` in steps of 10, one loss each."""
    for seen in range(sampler.history[-1].images + 10, images + 1, 10):
        sampler.observe(torch.full((1,), 0.5), torch.ones(1))
        sampler.update(seen)
    return sampler


@pytest.mark.parametrize("pacing", PACINGS + GATES, ids=lambda p: f"{p.kind}-{getattr(p, 'gate', '')}")
def test_every_pacing_makes_a_conforming_sampler(pacing: Pacing) -> None:
    curriculum = Curriculum(num_clusters=6, partition=UniformPartition(), pacing=pacing)
    check_curriculum_sampler(lambda device: curriculum.build(DDPM(), Uniform(), 8000, 100, device))


@pytest.mark.parametrize("density", [Uniform(), Beta(a=2.0, b=3.0), LossSecondMoment(num_bins=12, history=3)])
@pytest.mark.parametrize("accumulation", [Cumulative(), Newest(), Replay(share=0.3)])
def test_every_accumulation_and_density_makes_a_conforming_sampler(
    accumulation: Accumulation, density: Density
) -> None:
    for union_density in get_args(UnionDensity):
        curriculum = Curriculum(
            num_clusters=5, order=RandomOrder(), accumulation=accumulation, union_density=union_density
        )
        check_curriculum_sampler(partial(curriculum.build, EDM(), density, 8000, 100))


def test_each_stage_adds_the_next_noisiest_cluster() -> None:
    sampler = build()
    assert sampler.stage_density.cdf_at(0.75) == 0  # the noisiest quarter alone
    advance(sampler, 260)
    assert sampler.stage_density.cdf_at(0.5) == 0
    np.testing.assert_allclose(sampler.stage_density.cdf_at(np.array([0.625, 0.75, 1.0])), [0.25, 0.5, 1.0])


@pytest.mark.parametrize("accumulation", [Cumulative(), Newest(), Replay()], ids=lambda a: a.kind)
def test_the_density_of_any_stage_is_known_beforehand(accumulation: Accumulation) -> None:
    sampler = build(replace(FOUR, accumulation=accumulation), density=Beta(a=2.0, b=3.0))
    grid = GRID.numpy()
    known = {
        stage: sampler.density_in(stage, sampler.density).cdf_at(grid) for stage in range(1, sampler.num_stages + 1)
    }
    for images in range(10, TOTAL + 1, 10):
        advance(sampler, images)
        assert np.array_equal(known[sampler.stage], sampler.stage_density.cdf_at(grid))
    assert sampler.stage == sampler.num_stages


def test_every_switch_is_recorded_with_images_stage_and_reason() -> None:
    sampler = advance(build(), TOTAL)
    assert sampler.history == [
        Switch(0, 1, Reason.START),
        Switch(260, 2, Reason.SCHEDULE),
        Switch(510, 3, Reason.SCHEDULE),
        Switch(760, 4, Reason.SCHEDULE),
    ]


def test_what_a_pacing_remembers_is_kept_within_a_stage_and_forgotten_at_every_switch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = []

    class Counting(Linear):
        def decide(self, seen: Observation) -> Decision:
            shown.append((seen.images_seen, seen.memory.get("steps", 0)))
            return replace(super().decide(seen), memory={"steps": seen.memory.get("steps", 0) + 1})

    advance(build(replace(FOUR, pacing=Counting(end_share=0.1))), 60)
    # The first decision is the one before training; stages of 25 images begin after 30 and 60 of them.
    assert shown == [(0, 0), (10, 0), (20, 1), (30, 2), (40, 0), (50, 1), (60, 2)]


def test_equal_union_density_gives_each_unlocked_cluster_the_same_share() -> None:
    sampler = advance(build(replace(FOUR, union_density="equal"), density=Beta(a=1.0, b=3.0)), 600)
    np.testing.assert_allclose(np.diff(sampler.stage_density.cdf_at(sampler.edges)), [0, 1 / 3, 1 / 3, 1 / 3])


def test_newest_and_replay_share_out_the_draws_as_they_say() -> None:
    newest = advance(build(replace(FOUR, accumulation=Newest())), 600)
    np.testing.assert_allclose(np.diff(newest.stage_density.cdf_at(newest.edges)), [0, 1, 0, 0])
    replay = advance(build(replace(FOUR, accumulation=Replay(share=0.2))), 600)
    np.testing.assert_allclose(np.diff(replay.stage_density.cdf_at(replay.edges)), [0, 0.8, 0.1, 0.1])


@pytest.mark.parametrize("accumulation", [Newest(), Replay(share=0.2), Cumulative()])
def test_what_is_not_the_base_density_with_all_unlocked_ends_in_a_stage_of_ordinary_training(
    accumulation: Accumulation,
) -> None:
    sampler = build(
        replace(FOUR, accumulation=accumulation, union_density="equal", pacing=Linear(end_share=0.5)),
        density=Beta(a=1.0, b=3.0),
    )
    advance(sampler, 490)
    assert (sampler.stage, sampler.num_stages, sampler.unlocked_share) == (4, 5, 1.0)
    advance(sampler, 500)
    assert (sampler.stage, sampler.unlocked_share) == (5, 1.0)
    np.testing.assert_allclose(sampler.stage_density.cdf, Beta(a=1.0, b=3.0).piecewise(Flow()).cdf, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    num_clusters=st.integers(1, 12),
    order=st.one_of(st.just(EasyToHard()), st.just(HardToEasy()), st.builds(RandomOrder, seed=st.integers(0, 99))),
    accumulation=st.one_of(st.just(Cumulative()), st.just(Newest()), st.builds(Replay, share=st.floats(0.05, 0.95))),
    union_density=st.sampled_from(["base", "equal"]),
    density=st.one_of(
        st.just(Uniform()), st.builds(Beta, a=st.floats(0.7, 5), b=st.floats(0.7, 5)), st.just(LossSecondMoment())
    ),
    process=st.sampled_from([DDPM(num_timesteps=50), EDM(), Flow()]),
    images=st.integers(0, 40).map(lambda n: 10 * n),
)
def test_draws_never_leave_the_unlocked_clusters_and_end_as_the_base_density(
    num_clusters: int,
    order: EasyToHard,
    accumulation: Accumulation,
    union_density: UnionDensity,
    density: Density,
    process: Process,
    images: int,
) -> None:
    curriculum = Curriculum(
        num_clusters=num_clusters,
        partition=UniformPartition(),
        order=order,
        accumulation=accumulation,
        union_density=union_density,
        pacing=Linear(end_share=0.45),
    )
    sampler = advance(build(curriculum, process, density), images)
    q = sampler.draw(GRID)[0].double().numpy()
    clusters = np.searchsorted(sampler.edges, q, side="right") - 1
    assert set(clusters) <= set(sampler.permutation[: sampler.stage])
    if process.num_levels is not None:  # The process, too, keeps to the timesteps of the unlocked clusters.
        t = process.level(sampler.draw(GRID)[0]).numpy()
        assert set(np.searchsorted(sampler.edges, (t + 0.5) / 50) - 1) <= set(sampler.permutation[: sampler.stage])

    advance(sampler, 450)
    q = sampler.draw(GRID)[0].double().numpy()
    # Draws are a rising function of u, so their distribution is known exactly: F(q(u)) = u.
    assert np.abs(density.piecewise(process).cdf_at(q) - GRID.double().numpy()).max() < 1e-4


@settings(max_examples=25, deadline=None)
@given(
    stop=st.integers(0, 60),
    pacing=st.sampled_from([Linear(), Plateau(window_steps=7), Plateau(gate="smoothed"), Plateau(gate="bank")]),
    density=st.sampled_from([Uniform(), LossSecondMoment(num_bins=8, history=2)]),
)
def test_a_state_taken_after_any_step_goes_on_as_if_never_stopped(stop: int, pacing: Pacing, density: Density) -> None:
    curriculum = replace(FOUR, pacing=pacing)

    def step(sampler: CurriculumSampler, n: int) -> Tensor:
        random = torch.Generator().manual_seed(n)
        q, weight = sampler.draw(torch.rand(10, generator=random))
        sampler.observe(q, torch.rand(10, generator=random) + q)
        bank = torch.rand(16, generator=random, dtype=torch.float64)
        sampler.update(10 * n, (lambda: bank) if sampler.needs_bank else None)
        return torch.stack([q, weight])

    whole, part = build(curriculum, density=density), build(curriculum, density=density)
    for n in range(1, stop + 1):
        step(whole, n)
        step(part, n)
    resumed = build(curriculum, density=density)
    resumed.load_state_dict(part.state_dict())
    for n in range(stop + 1, 81):
        assert torch.equal(step(whole, n), step(resumed, n))
    assert whole.history == resumed.history
    assert whole.state_dict() == resumed.state_dict()


def test_exposure_is_the_exact_time_average_of_what_was_drawn() -> None:
    # Two halves in easy-to-hard order, the noisy one alone for 300 of 1,000 images, then both.
    curriculum = replace(FOUR, num_clusters=2, pacing=Step(end_share=0.3))
    sampler = advance(build(curriculum), TOTAL)
    exposure = sampler.exposure()
    np.testing.assert_allclose(np.diff(exposure.cdf_at(np.array([0.0, 0.5, 1.0]))), [0.35, 0.65])
    control = build(ORDINARY, density=Histogram.of(exposure))
    np.testing.assert_allclose(control.stage_density.cdf_at(QUARTERS), exposure.cdf_at(QUARTERS), atol=1e-12)


def test_a_density_that_follows_losses_which_never_come_is_an_error() -> None:
    sampler = build(ORDINARY, density=LossSecondMoment(num_bins=4))
    for n in range(1, 8):
        sampler.update(10 * n)
    with pytest.raises(ValueError, match="density follows the loss, but none of the last 8 steps had one"):
        sampler.update(80)


@pytest.mark.parametrize("total_images", [0, -1])
def test_a_budget_of_no_images_is_an_error(total_images: int) -> None:
    file = FOUR.resolve(Flow(), Uniform(), TOTAL, 10)
    with pytest.raises(ValueError, match=f"total_images must be at least 1, not {total_images}"):
        file.sampler("cpu", total_images=total_images)


def test_there_is_no_exposure_before_anything_was_trained() -> None:
    with pytest.raises(ValueError, match="no exposure before the first update"):
        build().exposure()


def tell(sampler: CurriculumSampler, losses: dict[float, list[float]], shared: bool = False) -> None:
    """Show an adaptive sampler the given losses at each q, and end the window."""
    for q, values in losses.items():
        for value in values:
            sampler.observe(torch.tensor([q]), torch.tensor([value]), shared=shared)
    for n in range(8):
        sampler.update(n)


# Nichol & Dhariwal 2021, section 3.3: p_t is proportional to sqrt(E[L_t^2]) over the last losses, a share of 0.001 of a
# uniform density is mixed in, and the loss is weighted by 1 / (T p_t).  Worked out by hand for T = 4 and two losses
# each: the root mean squares are 1, 2, 3 and sqrt(8), their sum is 8.8284271.
FOUR_LEVELS = {0.1: [1.0, 1.0], 0.3: [2.0, 2.0], 0.6: [9.0, 3.0, 3.0], 0.9: [0.0, 4.0]}
PROBABILITIES = [0.11340719, 0.22656438, 0.33972157, 0.32030686]
WEIGHTS = [2.20444578, 1.10343913, 0.73589676, 0.78050154]
ORDINARY = Curriculum(num_clusters=1)


def test_the_loss_second_moment_is_that_of_improved_diffusion() -> None:
    sampler = build(ORDINARY, density=LossSecondMoment(num_bins=4, history=2, uniform_share=0.001))
    tell(sampler, FOUR_LEVELS)
    np.testing.assert_allclose(np.diff(sampler.stage_density.cdf_at(np.linspace(0, 1, 5))), PROBABILITIES, atol=1e-7)
    q, weight = sampler.draw(GRID)
    np.testing.assert_allclose(weight.numpy(), np.array(WEIGHTS)[(q.numpy() * 4).astype(int)], rtol=1e-6)
    assert weight.double().mean() == pytest.approx(1.0, abs=1e-3)


def test_the_loss_second_moment_is_uniform_until_every_level_has_its_history() -> None:
    sampler = build(ORDINARY, density=LossSecondMoment(num_bins=4, history=2))
    tell(sampler, FOUR_LEVELS | {0.1: [1.0]})
    q, weight = sampler.draw(GRID)
    np.testing.assert_allclose(q.numpy(), GRID.numpy(), atol=1e-6)
    assert weight.tolist() == [1.0] * len(GRID)


def test_adaptive_weights_lead_back_to_the_stage_of_a_curriculum_that_does_not_adapt() -> None:
    adaptive = LossSecondMoment(num_bins=8, history=1, uniform_share=0.1)
    sampler = build(replace(FOUR, pacing=Linear(end_share=1.0)), density=adaptive)
    for n in range(1, 51):
        q = (torch.arange(8) + 0.5) / 8
        sampler.observe(q, 1.0 + 5.0 * q)
        sampler.update(10 * n)
    assert sampler.stage == 2
    q, weight = sampler.draw(GRID)
    assert weight.std() > 0.1
    for function in (lambda q: q, lambda q: torch.sin(9 * q)):
        weighted = (weight * function(q)).double().mean()
        plain = function(0.5 + 0.5 * GRID).double().mean()
        assert weighted == pytest.approx(float(plain), abs=1e-3)


def test_after_the_last_stage_a_gate_asks_for_no_more_losses() -> None:
    sampler = build(replace(FOUR, pacing=Plateau(end_share=0.1, window_steps=2)))
    for n in range(1, 31):
        if n <= 10:
            sampler.observe(torch.zeros(2), torch.ones(2))
        sampler.update(10 * n)
    assert sampler.stage == sampler.num_stages


@pytest.mark.parametrize(
    "other",
    [
        lambda: build(replace(FOUR, num_clusters=5)),
        lambda: build(replace(FOUR, pacing=Plateau())),
        lambda: build(density=LossSecondMoment(num_bins=8)),
        lambda: build(replace(FOUR, partition=UniformPartition(), accumulation=Newest()), density=Beta(a=2.0, b=2.0)),
    ],
)
def test_the_state_of_another_curriculum_is_an_error(other: Callable[[], CurriculumSampler]) -> None:
    with pytest.raises(ValueError, match="saved by another curriculum"):
        build().load_state_dict(other().state_dict())


def test_a_cluster_without_mass_is_an_error_that_says_where() -> None:
    with pytest.raises(ValueError, match=r"no mass in the cluster of q from 0\.5 to 0\.75"):
        build(density=Histogram(edges=(0.0, 0.5, 0.75, 1.0), mass=(1.0, 0.0, 1.0)))
