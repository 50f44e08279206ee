from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from curriculum_search.conditions import ClassCondition, Condition, Unconditional
from curriculum_search.diffusion import Flow


def test_log_snr_is_that_of_the_linear_path() -> None:
    t = np.array([0.01, 0.2, 0.5, 0.9])
    np.testing.assert_allclose(Flow().log_snr(t), 2 * np.log((1 - t) / t), rtol=1e-12, atol=1e-12)


def test_the_network_is_asked_for_noise_minus_image(toy_images: tuple[Tensor, Tensor]) -> None:
    images, noise = toy_images
    t = torch.linspace(0.1, 0.9, 6)
    seen: dict[str, Any] = {}

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        seen.update(x=x, time=time, condition=condition)
        return noise - images

    condition = ClassCondition.of(torch.arange(6))
    torch.testing.assert_close(Flow().losses(network, images, t, noise, condition), torch.zeros(6))
    torch.testing.assert_close(seen["x"], torch.lerp(images, noise, t[:, None, None, None]))
    torch.testing.assert_close(seen["time"], t)
    assert seen["condition"] is condition


def test_losses_are_those_of_sit(toy_images: tuple[Tensor, Tensor]) -> None:
    """Printed by its Transport.training_losses, whose time is 1 - t and whose velocity is minus ours."""

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return torch.sin(1.3 * x + time[:, None, None, None])

    t = torch.tensor([0.05, 0.2, 0.4, 0.6, 0.8, 0.95])
    losses = Flow().losses(network, toy_images[0], t, toy_images[1], Unconditional())
    np.testing.assert_allclose(losses, [2.43758, 2.05339, 2.79092, 1.3485, 0.823294, 1.51773], rtol=1e-5)


def test_losses_of_a_network_that_predicts_the_image_are_those_of_jit(toy_images: tuple[Tensor, Tensor]) -> None:
    """JiT (arXiv 2511.13720) subtracts velocities, each a difference over the share of noise, which counts as at least
    0.05; its time is 1 - t."""

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        return torch.sin(1.3 * x + time[:, None, None, None])

    (images, noise), t = toy_images, torch.tensor([0.01, 0.04, 0.2, 0.5, 0.8, 0.99])
    theirs = 1.0 - t[:, None, None, None]
    z = theirs * images + (1.0 - theirs) * noise
    share = (1.0 - theirs).clamp_min(0.05)
    velocity, predicted = (images - z) / share, (network(z, t, Unconditional()) - z) / share
    losses = Flow(prediction="x0").losses(network, images, t, noise, Unconditional())
    torch.testing.assert_close(losses, (velocity - predicted).square().mean(dim=(1, 2, 3)), rtol=1e-4, atol=0)


def test_at_the_ends_of_the_path_log_snr_is_finite() -> None:
    np.testing.assert_allclose(Flow().log_snr(np.array([0.0, 1.0])), [41.4465, -41.4465], rtol=1e-5)


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_the_network_is_trained_on_times_that_are_shifted_as_published(shift: float) -> None:
    """Esser et al. 2024, eq. 23; diffusers has it in the sigmas that its scripts train on."""
    process, seen = Flow(shift=shift), []

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        seen.append(time)
        return x

    images, q = torch.zeros(20_000, 1, 1, 1), torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    process.losses(network, images, q, torch.ones_like(images), Unconditional())
    # The share of times below t is that of q = t / (s - (s - 1) t).
    assert scipy.stats.kstest(seen[0].numpy(), lambda t: t / (shift - (shift - 1) * t)).pvalue > 1e-3
    sigmas = FlowMatchEulerDiscreteScheduler(shift=shift).sigmas.flip(0)
    thousandths = torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(process.level(thousandths).float(), sigmas, rtol=1e-5, atol=0)
