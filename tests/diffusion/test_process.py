"""What holds for every process; tests of one process are in its own file."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from curriculum_search.conditions import Unconditional
from curriculum_search.diffusion import DDPM, EDM, P2, Beta, EDMWeighting, Flow, MinSNR, Network, Process

Best = Callable[[Process], Network]
Q = np.linspace(0.0, 1.0, 2001)


def test_log_snr_falls_from_clean_to_noise_and_is_finite(process: Process) -> None:
    log_snr = process.log_snr(Q)
    assert log_snr.dtype == np.float64
    assert np.all(np.isfinite(log_snr))
    assert np.all(np.diff(log_snr) <= 0)
    assert log_snr[0] > 5 > -1.5 > log_snr[-1]


def test_log_snr_is_that_of_the_noisy_images(process: Process) -> None:
    q = torch.linspace(0.05, 0.95, 7)
    one, zero = torch.ones(7, 1, 1, 1), torch.zeros(7, 1, 1, 1)
    alpha, sigma = process.add_noise(one, q, zero).flatten(), process.add_noise(zero, q, one).flatten()
    torch.testing.assert_close(2 * torch.log(alpha / sigma), process.log_snr(q), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_the_read_only_arrays_of_a_density_can_be_translated(process: Process) -> None:
    knots = Beta(a=2, b=3).piecewise(process).knots
    assert process.log_snr(knots).shape == process.level(knots).shape == knots.shape


def test_levels_give_back_their_quantile(process: Process) -> None:
    q = np.append(np.geomspace(1e-9, 1e-6, 30), np.linspace(1e-6, 1 - 1e-6, 4321))
    back = process.quantile(process.level(q))
    if process.num_levels is None:
        np.testing.assert_allclose(back, q, rtol=1e-10)
    else:
        assert np.all(np.abs(back - q) <= 0.5 / process.num_levels + 1e-12)
        t = np.arange(process.num_levels)
        np.testing.assert_array_equal(process.level(process.quantile(t)), t)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_keep_their_dtype_and_agree_with_arrays(process: Process, dtype: torch.dtype) -> None:
    q = torch.linspace(0.01, 0.99, 50, dtype=dtype)
    log_snr = process.log_snr(q)
    assert log_snr.dtype == dtype
    np.testing.assert_array_equal(log_snr.numpy(), process.log_snr(q.double().numpy()).astype(log_snr.numpy().dtype))
    assert process.level(q).dtype == (torch.int64 if process.num_levels else dtype)


def test_the_best_network_estimates_the_same_clean_image_whatever_it_predicts(best_network: Best) -> None:
    x = torch.linspace(-2, 2, 12).reshape(3, 1, 2, 2)
    q = torch.tensor([0.1, 0.5, 0.9])
    found = [
        p.estimate_at(best_network(p), x, p.level(q), Unconditional())
        for p in (DDPM(prediction="epsilon"), DDPM(prediction="x0"), DDPM(prediction="v"))
    ]
    for other in found[1:]:
        torch.testing.assert_close(other.x0, found[0].x0, rtol=0, atol=2e-5)
        torch.testing.assert_close(other.eps, found[0].eps, rtol=0, atol=2e-5)


def test_estimates_put_the_noisy_image_together_again(process: Process, best_network: Best) -> None:
    x = torch.linspace(-2, 2, 12).reshape(3, 1, 2, 2)
    q = torch.tensor([0.2, 0.5, 0.8])
    estimate = process.estimate_at(best_network(process), x, process.level(q), Unconditional())
    assert estimate.variance_fraction is None
    torch.testing.assert_close(process.add_noise(estimate.x0, q, estimate.eps), x, rtol=0, atol=2e-5)


def test_the_best_network_has_the_least_possible_loss(process: Process, best_network: Best) -> None:
    """E (x0 - E[x0|x])^2 = s^2 sigma^2 / (alpha^2 s^2 + sigma^2), and the native loss follows from it."""
    generator = torch.Generator().manual_seed(0)
    q = torch.tensor([0.1, 0.4, 0.7, 0.95])
    images = 0.3 + 0.4 * torch.randn(4, 1, 150, 150, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    losses = process.losses(best_network(process), images, q, noise, Unconditional())
    assert losses.dtype == torch.float32
    log_snr = process.log_snr(q)
    on_x0 = 0.16 / (log_snr.exp() * 0.16 + 1)
    torch.testing.assert_close(
        losses, on_x0 * torch.exp(log_snr - process.log_eps_loss_ratio(log_snr)), rtol=0.03, atol=0
    )


@pytest.mark.parametrize("weighting", [MinSNR(), P2(), P2(gamma=0.5), EDMWeighting()])
def test_weighted_losses_do_not_depend_on_what_is_predicted(
    weighting: MinSNR | P2 | EDMWeighting, best_network: Best
) -> None:
    """One flawed denoiser, seen through three predictions, has one weighted loss."""
    generator = torch.Generator().manual_seed(1)
    images, noise = torch.randn(2, 5, 1, 8, 8, generator=generator)
    q = torch.tensor([0.05, 0.2, 0.5, 0.7, 0.9])
    found = []
    for process in (DDPM(), DDPM(prediction="x0"), DDPM(prediction="v")):
        losses = process.losses(best_network(process), images, q, noise, Unconditional())
        found.append(weighting.weights(process.log_snr(q), process) * losses)
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(found[2], found[0], rtol=1e-4, atol=0)


@pytest.mark.parametrize("process", [DDPM(learned_variance=True), DDPM(prediction="v"), EDM(), Flow()], ids=str)
def test_drawing_levels_losses_and_weights_never_waits_for_the_device(process: Process) -> None:
    """Fake tensors have no values: reading one, or branching on it, raises."""
    table = Beta(a=2, b=3).piecewise(process).table("cpu")
    channels = process.out_channels(2)

    def step(u: Tensor) -> Tensor:
        images, noise = torch.zeros(4, 2, 4, 4), torch.ones(4, 2, 4, 4)
        q = table.draw(u)
        losses = process.losses(
            lambda x, time, condition: x.repeat(1, channels // 2, 1, 1), images, q, noise, Unconditional()
        )
        return losses * MinSNR().weights(process.log_snr(q), process)

    expected = step(torch.rand(4))  # Also fills the caches with real tensors.
    with FakeTensorMode(allow_non_fake_inputs=True):
        found = step(torch.rand(4))
    assert found.shape == expected.shape
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        torch.rand(4).sum().item()


def test_every_kind_is_registered() -> None:
    assert set(Process.kinds()) == {"ddpm", "edm", "flow"}
