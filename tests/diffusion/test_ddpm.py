"""Numbers marked as printed are guided-diffusion's (GaussianDiffusion, LEARNED_RANGE, RESCALED_MSE)."""

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from curriculum_search.conditions import Condition, Unconditional
from curriculum_search.diffusion import DDPM, Process
from curriculum_search.diffusion.ddpm import betas, schedule_tables

Schedule = Literal["linear", "cosine"]
Prediction = Literal["epsilon", "x0", "v"]


def wavy_network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
    t = time[:, None, None, None]
    return torch.cat([torch.sin(1.3 * x + t / 500), torch.cos(x + t / 300)], dim=1)


# schedule, T -> printed alphas_cumprod and posterior_log_variance_clipped at t = 0, 1, T / 2, T - 1
PUBLISHED: dict[tuple[Schedule, int], tuple[list[float], list[float]]] = {
    ("linear", 1000): (
        [0.9999, 0.9997800921, 0.07779665837, 4.035829765e-05],
        [-9.816725135, -9.816725135, -4.60004974, -3.912023829],
    ),
    ("linear", 100): (
        [0.999, 0.9959929091, 0.06666562682, 2.039008976e-05],
        [-7.193847162, -7.193847162, -2.295748772, -1.60944301],
    ),
    ("cosine", 1000): (
        [0.9999587158, 0.9999125759, 0.4922851724, 2.428766907e-09],
        [-10.73408253, -10.73408253, -5.761621845, -0.001002926675],
    ),
    ("cosine", 100): (
        [0.9993687184, 0.9982524865, 0.4782646329, 2.428572279e-07],
        [-7.815362311, -7.815362311, -3.486612492, -0.001243144199],
    ),
}


@pytest.mark.parametrize(("schedule", "num_timesteps"), PUBLISHED)
def test_schedules_are_the_published_ones(schedule: Schedule, num_timesteps: int) -> None:
    at = [0, 1, num_timesteps // 2, num_timesteps - 1]
    cumulative, log_variance = PUBLISHED[schedule, num_timesteps]
    process = DDPM(schedule=schedule, num_timesteps=num_timesteps)
    np.testing.assert_allclose(process.alphas_cumprod()[at], cumulative, rtol=1e-9)
    tables = schedule_tables(betas(schedule, num_timesteps))
    np.testing.assert_allclose(tables.posterior_log_variance[at], log_variance, rtol=1e-9)


def test_log_snr_is_exact_in_float64() -> None:
    cumulative = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    process = DDPM()
    t = np.arange(1000)
    np.testing.assert_allclose(process.log_snr(process.quantile(t)), np.log(cumulative / (1 - cumulative)), rtol=1e-12)


# (schedule, prediction) -> printed losses at t = 0, 1, 250, 500, 900 and 999 (cosine: 990)
LOSSES: dict[tuple[Schedule, Prediction], list[float]] = {
    ("linear", "epsilon"): [3.265923, 1.723748, 0.9234545, 0.580217, 1.844031, 3.126431],
    ("linear", "x0"): [17.07054, 10.93306, 1.147632, 0.918025, 0.8019055, 0.6373169],
    ("cosine", "epsilon"): [2.708949, 1.704428, 1.813414, 0.6696527, 1.831928, 3.543571],
    ("cosine", "x0"): [28.50979, 25.8669, 0.4555387, 0.6147915, 0.8054984, 0.6302955],
}


@pytest.mark.parametrize(("schedule", "prediction"), LOSSES)
def test_losses_with_learned_variance_are_the_published_ones(
    schedule: Schedule, prediction: Prediction, toy_images: tuple[Tensor, Tensor]
) -> None:
    images, noise = toy_images
    process = DDPM(schedule=schedule, prediction=prediction, learned_variance=True)
    t = np.array([0, 1, 250, 500, 900, 999 if schedule == "linear" else 990])
    q = torch.from_numpy(process.quantile(t))
    losses = process.losses(wavy_network, images, q, noise, Unconditional())
    np.testing.assert_allclose(losses, LOSSES[schedule, prediction], rtol=3e-6)


def test_losses_with_fixed_variance_are_mean_squared_errors(toy_images: tuple[Tensor, Tensor]) -> None:
    images, noise = toy_images
    q = torch.linspace(0.05, 0.95, 6)

    def zero(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        torch.testing.assert_close(time, DDPM().level(q).float())
        return torch.zeros_like(x)

    def square(x: Tensor) -> Tensor:
        return x.square().flatten(1).mean(1)

    alpha = torch.from_numpy(DDPM().alphas_cumprod())[DDPM().level(q)].sqrt().float()[:, None, None, None]
    v = alpha * noise - (1 - alpha**2).sqrt() * images
    torch.testing.assert_close(DDPM().losses(zero, images, q, noise, Unconditional()), square(noise))
    torch.testing.assert_close(DDPM(prediction="x0").losses(zero, images, q, noise, Unconditional()), square(images))
    torch.testing.assert_close(
        DDPM(prediction="v").losses(zero, images, q, noise, Unconditional()), square(v), rtol=1e-5, atol=1e-6
    )


def test_the_bounds_gradient_does_not_reach_the_mean(toy_images: tuple[Tensor, Tensor]) -> None:
    images, noise = toy_images
    out = torch.full((6, 4, 2, 2), 0.1, requires_grad=True)
    q = torch.linspace(0.0, 0.999, 6)
    DDPM(learned_variance=True).losses(
        lambda x, time, condition: out, images, q, noise, Unconditional()
    ).sum().backward()  # type: ignore[no-untyped-call]
    assert out.grad is not None
    torch.testing.assert_close(out.grad[:, :2], 2 * (0.1 - noise) / 8)
    assert torch.all(out.grad[:, 2:].abs().flatten(1).sum(1) > 0)


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
def test_the_bound_is_zero_for_the_true_step(prediction: Prediction, toy_images: tuple[Tensor, Tensor]) -> None:
    """A perfect prediction with the posterior's variance: no divergence at any t > 0."""
    images, noise = toy_images
    process = DDPM(prediction=prediction, learned_variance=True)
    q = torch.linspace(0.1, 0.9, 6)
    alpha = torch.from_numpy(process.alphas_cumprod())[process.level(q)].sqrt().float()[:, None, None, None]
    truth = {"epsilon": noise, "x0": images, "v": alpha * noise - (1 - alpha**2).sqrt() * images}[prediction]
    perfect = torch.cat([truth, -torch.ones_like(truth)], dim=1)
    losses = process.losses(lambda x, time, condition: perfect, images, q, noise, Unconditional())
    torch.testing.assert_close(losses, torch.zeros(6), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("output", "name"), [(-1.0, "posterior_log_variance"), (1.0, "beta")])
def test_the_variance_output_runs_from_the_posterior_to_beta(output: float, name: str) -> None:
    process = DDPM(learned_variance=True)
    t = process.level(torch.tensor([0.0005, 0.5, 0.999]))
    estimate = process.estimate_at(
        lambda x, time, condition: torch.full((3, 2, 1, 1), output), torch.zeros(3, 1, 1, 1), t, Unconditional()
    )
    tables = schedule_tables(betas("linear", 1000))
    expected = tables.beta[t].log() if name == "beta" else tables.posterior_log_variance[t]
    assert estimate.variance_fraction is not None
    log_variance = process._log_variance(estimate.variance_fraction, t, process._tables(t.device))
    torch.testing.assert_close(log_variance.flatten(), expected.float())
    torch.testing.assert_close(estimate.variance_fraction.flatten(), torch.full((3,), 0.5 * (output + 1)))
    assert estimate.x0.shape == (3, 1, 1, 1)


@given(st.integers(21, 5000), st.data())
def test_the_bin_of_a_timestep_is_half_open_in_either_precision(num_timesteps: int, data: st.DataObject) -> None:
    process = DDPM(num_timesteps=num_timesteps)
    t = data.draw(st.integers(1, num_timesteps - 1))
    border = np.array([t / num_timesteps])
    assert process.level(border)[0] == t
    assert process.level(border - 1e-9)[0] == t - 1
    above = np.float32(border)
    above = np.nextafter(above, np.float32(2)) if above < border else above
    below = np.nextafter(above, np.float32(0))
    assert process.level(torch.from_numpy(above)).item() == t
    assert process.level(torch.from_numpy(below)).item() == t - 1


def test_q_at_and_beyond_one_is_the_last_timestep() -> None:
    assert DDPM().level(np.array([0.0, 1.0, 1.5])).tolist() == [0, 999, 999]


def test_learned_variance_doubles_the_output_channels() -> None:
    assert DDPM().out_channels(3) == 3
    assert DDPM(learned_variance=True).out_channels(3) == 6


def test_the_bound_is_in_bits(toy_images: tuple[Tensor, Tensor]) -> None:
    """Where the mean is right, KL(N(m, v0) || N(m, v1)) = (ln v1/v0 + v0/v1 - 1) / 2 nats."""
    images, noise = toy_images
    process = DDPM(learned_variance=True, num_timesteps=100)
    q = torch.full((6,), 0.035)
    out = torch.cat([noise, torch.ones_like(noise)], dim=1)
    losses = process.losses(lambda x, time, condition: out, images, q, noise, Unconditional())
    tables = schedule_tables(betas("linear", 100))
    ratio = float(tables.beta[3].log() - tables.posterior_log_variance[3])
    bits = 0.5 * (ratio + math.exp(-ratio) - 1) / math.log(2)
    torch.testing.assert_close(losses, torch.full((6,), bits * 0.1), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"schedule": "sigmoid"}, "schedule"),
        ({"prediction": "score"}, "prediction"),
        ({"num_timesteps": 20}, "num_timesteps must be at least 21"),
        ({"schedule": "cosine", "num_timesteps": 1}, "num_timesteps"),
    ],
)
def test_impossible_fields_are_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Process.from_dict({"kind": "ddpm", **fields})
