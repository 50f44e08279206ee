"""Densities that follow the losses."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from curriculum_search.conditions import Unconditional
from curriculum_search.diffusion import DDPM, EDM, EntropyRate, LossSecondMoment, Network, Process, Uniform

MEAN, STD, BINS = 0.3, 0.4, 24  # of the Gaussian images of conftest


def test_loss_second_moment_is_uniform_until_every_bin_has_its_history() -> None:
    density = LossSecondMoment(num_bins=4, history=2)
    losses = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, np.nan], [7.0, 8.0]])
    np.testing.assert_allclose(density.learned(losses, DDPM()).pdf_at(np.array([0.1, 0.6])), 1)
    np.testing.assert_allclose(density.piecewise(EDM()).pdf_at(np.array([0.1, 0.6])), 1)
    assert density.adaptive
    assert not Uniform().adaptive


def test_loss_second_moment_has_the_published_probabilities() -> None:
    # Printed by guided-diffusion's LossSecondMomentResampler for these losses.
    losses = np.array([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0], [0.5, 0.5]])
    masses = np.diff(LossSecondMoment(num_bins=4, history=2).learned(losses, DDPM()).cdf)
    np.testing.assert_allclose(masses, [0.2992245660586, 0.0600449132117, 0.5981991321172, 0.0425313886125], atol=1e-12)


def test_weighting_by_one_over_bins_times_mass_keeps_the_expectation_of_uniform_levels() -> None:
    losses = np.random.default_rng(0).gamma(2.0, size=(50, 10))
    masses = np.diff(LossSecondMoment().learned(losses, DDPM()).cdf)
    np.testing.assert_allclose(np.sum(masses * losses[:, 0] / (50 * masses)), losses[:, 0].mean())


@pytest.mark.parametrize(
    ("density", "bins"), [(LossSecondMoment(), (300, 100)), (LossSecondMoment(num_bins=7), (7, 7))]
)
def test_loss_second_moment_has_one_bin_per_timestep_unless_told(
    density: LossSecondMoment, bins: tuple[int, int]
) -> None:
    assert (density.bins(DDPM(num_timesteps=300)), density.bins(EDM())) == bins


@pytest.fixture(scope="module")
def gaussian_images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = MEAN + STD * torch.randn(BINS, 1, 100, 100, generator=generator)
    return images, torch.randn(BINS, 1, 100, 100, generator=generator)


def test_the_entropy_rate_of_gaussian_images_is_known_whatever_is_predicted(
    process: Process,
    best_network: Callable[[Process], Network],
    gaussian_images: tuple[torch.Tensor, torch.Tensor],
) -> None:
    images, noise = gaussian_images
    q = (torch.arange(BINS, dtype=torch.float64) + 0.5) / BINS
    losses = process.losses(best_network(process), images, q, noise, Unconditional()).double().numpy()[:, None]
    density = EntropyRate(num_bins=BINS, history=1, uniform_share=0.0).learned(losses, process)
    # The information of x in x + sigma noise is ln(1 + SNR STD^2) / 2 for each pixel.
    edges = np.array([0.25, *range(1, BINS), BINS - 0.25]) / BINS
    information = 0.5 * np.log1p(np.exp(process.log_snr(edges)) * STD**2)
    masses = np.diff(density.cdf)
    expected = -np.diff(information)
    np.testing.assert_allclose(masses[1:-1], (expected / expected.sum())[1:-1], rtol=0.08, atol=4e-3)


def test_the_entropy_rate_is_not_weighted_back_and_forgets_no_level() -> None:
    losses = np.array([[0.0], [1.0]])
    density = EntropyRate(num_bins=2, history=1, uniform_share=0.2)
    assert np.diff(density.learned(losses, DDPM()).cdf)[0] == pytest.approx(0.1)
    assert not density.unbiased
    assert density.resolved(DDPM()) is density
