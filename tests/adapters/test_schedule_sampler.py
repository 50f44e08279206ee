from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.curricula import Write

from curriculum_search.adapters import ScheduleSampler
from curriculum_search.curriculum import Curriculum, Plateau, Reason
from curriculum_search.diffusion import DDPM, EDM, Beta, LossSecondMoment

pytestmark = pytest.mark.filterwarnings("ignore:.*images of total_images have been drawn")


def test_timesteps_are_those_of_the_stage_and_in_the_end_those_of_ordinary_training(curriculum_file: Write) -> None:
    torch.manual_seed(0)
    sampler = ScheduleSampler(curriculum_file(DDPM()), 1000, total_images=4000)
    stages = []
    for step in range(40):
        timesteps, weights = sampler.sample(100, torch.device("cpu"))
        assert (timesteps.dtype, timesteps.shape) == (torch.int64, (100,))
        assert torch.equal(weights, torch.ones(100))
        lowest = 1000 - 250 * min(-(-max(step, 1) // 5), 4)
        assert timesteps.min() >= lowest
        assert timesteps.max() < 1000
        stages.append(sampler.stage)
    assert sampler.images_seen == 4000
    assert stages == [1] * 6 + [2] * 5 + [3] * 5 + [4] * 24
    timesteps, _ = sampler.sample(100_000, "cpu")
    counts = np.bincount(timesteps.numpy(), minlength=1000)
    assert ((counts - 100) ** 2 / 100).sum() < 1200  # chi-squared with 999 degrees of freedom


def test_weights_are_the_probabilities_of_the_timesteps(curriculum_file: Write) -> None:
    sampler = ScheduleSampler(curriculum_file(DDPM(), density=Beta(a=2.0, b=1.0)), 1000, total_images=4000)
    weights = sampler.weights()
    assert weights.shape == (1000,)
    assert weights.sum() == pytest.approx(1.0)
    assert np.all(weights[:750] == 0)
    # P(q) is proportional to q: the last timestep of the cluster against its first.
    assert weights[999] / weights[750] == pytest.approx(999.5 / 750.5, rel=1e-3)


# The published interface, as its training loop uses it.
class LossAwareSampler(ABC):
    @abstractmethod
    def update_with_all_losses(self, ts: list[int], losses: list[float]) -> None: ...

    @abstractmethod
    def update_with_local_losses(self, local_ts: torch.Tensor, local_losses: torch.Tensor) -> None: ...


def published_loop(schedule_sampler: Any, steps: int, loss: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """The parts of guided-diffusion's TrainLoop.forward_backward that touch its schedule sampler."""
    for _ in range(steps):
        for _microbatch in range(2):
            t, weights = schedule_sampler.sample(50, torch.device("cpu"))
            losses = {"loss": loss(t)}
            if isinstance(schedule_sampler, LossAwareSampler):
                schedule_sampler.update_with_local_losses(t, losses["loss"].detach())
            assert ((losses["loss"] * weights).mean()).isfinite()


def test_a_gate_works_in_the_published_loop_once_the_sampler_is_registered(curriculum_file: Write) -> None:
    LossAwareSampler.register(ScheduleSampler)
    gated = Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.1, max_stage_share=1.0, end_share=1.0))
    sampler = ScheduleSampler(curriculum_file(DDPM(), curriculum=gated), 1000, total_images=4000)
    published_loop(sampler, 40, lambda t: torch.ones(len(t)))
    # Best at once, patience 400 images; the window of 8 microbatches ends at 800 images.
    assert [(s.images, s.reason) for s in sampler.history[1:3]] == [(800, Reason.PLATEAU), (1600, Reason.PLATEAU)]


def test_a_gate_that_is_told_no_losses_says_so(curriculum_file: Write) -> None:
    sampler = ScheduleSampler(curriculum_file(DDPM(), curriculum=Curriculum(pacing=Plateau())), 1000, total_images=4000)
    assert sampler.needs_losses
    for _ in range(8):
        sampler.sample(10, "cpu")
    with pytest.raises(ValueError, match="pass every step's losses to observe"):
        sampler.sample(10, "cpu")


def test_losses_shape_the_loss_second_moment_as_published(curriculum_file: Write) -> None:
    # Root mean squares 1 and 3 of the two halves: p = .999 m / sum + .0005, and weights 1 / (T p_t).
    resampler = LossSecondMoment(num_bins=2, history=2)
    ordinary = Curriculum(num_clusters=1)
    sampler = ScheduleSampler(curriculum_file(DDPM(), density=resampler, curriculum=ordinary), 1000, total_images=4000)
    for _ in range(9):
        sampler.sample(4, "cpu")
        sampler.update_with_all_losses([10, 20, 700, 800], [1.0, 1.0, 3.0, 3.0])
    weights = sampler.weights()
    np.testing.assert_allclose([weights[:500].sum(), weights[500:].sum()], [0.25025, 0.74975], atol=1e-9)
    timesteps, importance = sampler.sample(1000, "cpu")
    expected = np.where(timesteps.numpy() < 500, 1 / (2 * 0.25025), 1 / (2 * 0.74975))
    np.testing.assert_allclose(importance.numpy(), expected, rtol=1e-6)


def test_a_curriculum_over_sigmas_is_an_error(curriculum_file: Write) -> None:
    with pytest.raises(ValueError, match="ScheduleSampler needs a curriculum over the levels of ddpm, not edm"):
        ScheduleSampler(curriculum_file(EDM()), 1000, total_images=4000)
