"""Images along their principal axes."""

import numpy as np
import pytest
import torch

from curriculum_search.data import Digits, MemoryImages, to_float
from curriculum_search.difficulty.axes import PrincipalAxes, coefficients
from curriculum_search.diffusion import DDPM, EDM, Flow, Process


def axes_of(fitted: np.ndarray, held_out: np.ndarray) -> PrincipalAxes:
    rows = torch.from_numpy(np.concatenate([fitted, held_out]))
    return PrincipalAxes.from_products(rows @ rows.T, len(fitted), fitted.shape[1])


@pytest.mark.parametrize("num_pixels", [5, 200], ids=["fewer pixels than images", "more pixels than images"])
def test_lengths_and_angles_of_fitted_images_are_kept_and_of_others_but_for_the_rest(num_pixels: int) -> None:
    random = np.random.default_rng(0)
    fitted, held_out = random.normal(0.3, 1.0, (30, num_pixels)), random.normal(0.3, 1.0, (8, num_pixels))
    axes = axes_of(fitted, held_out)
    np.testing.assert_allclose(axes.fitted @ axes.fitted.T, fitted @ fitted.T, atol=1e-9)
    np.testing.assert_allclose(axes.held_out @ axes.fitted.T, held_out @ fitted.T, atol=1e-9)
    inside = np.square(axes.held_out).sum(1)
    np.testing.assert_allclose(inside + axes.held_out_rest, np.square(held_out).sum(1), atol=1e-9)


def test_coordinates_are_uncorrelated_and_have_the_reported_means_and_variances() -> None:
    random = np.random.default_rng(1)
    fitted = random.normal(size=(50, 4)) @ random.normal(size=(4, 12)) + 0.5
    axes = axes_of(fitted, fitted[:3])
    assert axes.fitted.shape == (50, 5)  # four directions of variance, and the mean's own
    np.testing.assert_allclose(axes.fitted.mean(0), axes.mean, atol=1e-9)
    np.testing.assert_allclose(np.cov(axes.fitted.T, bias=True), np.diag(axes.variances), atol=1e-9)
    np.testing.assert_allclose(axes.held_out_rest, 0, atol=1e-9)


def test_images_are_read_in_minus_one_to_one_and_held_out_ones_are_others() -> None:
    images = Digits().load()
    axes = PrincipalAxes.of(images, 100, seed=0)
    assert axes.fitted.shape[0] == 100
    assert axes.held_out.shape[0] == 25
    every = to_float(images.read(np.arange(len(images)))[0]).flatten(1).square().sum(1).numpy()
    for rows, rest in ((axes.fitted, np.zeros(100)), (axes.held_out, axes.held_out_rest)):
        lengths = np.square(rows).sum(1) + rest
        assert np.abs(lengths[:, None] - every[None]).min(1).max() < 1e-3
    distances = np.square(axes.fitted[:, None] - axes.held_out[None]).sum(-1) + axes.held_out_rest
    assert distances.min() > 0.01


def test_a_handful_of_images_is_an_error_that_names_the_set() -> None:
    few = MemoryImages("my cats", np.zeros((9, 1, 4, 4), dtype=np.uint8), None)
    with pytest.raises(ValueError, match="at least 10 images; my cats has 9"):
        PrincipalAxes.of(few, 100, seed=0)


@pytest.mark.parametrize("process", [DDPM(), EDM(), Flow()], ids=lambda p: type(p).__name__)
def test_coefficients_are_those_of_the_process(process: Process) -> None:
    q = np.array([0.05, 0.4, 0.9])
    alpha, sigma = coefficients(process, q)
    np.testing.assert_allclose(2 * np.log(alpha / sigma), process.log_snr(q), rtol=1e-4, atol=1e-4)


def test_the_linear_denoisers_error_is_that_of_a_wiener_filter_made_of_pixels() -> None:
    random = np.random.default_rng(2)
    mixing = random.normal(size=(6, 6)) * 0.5
    fitted, held_out = random.normal(size=(1500, 6)) @ mixing + 0.2, random.normal(size=(1500, 6)) @ mixing + 0.2
    alpha, sigma = 0.8, 0.6
    mean, covariance = fitted.mean(0), np.cov(fitted.T, bias=True)
    gain = alpha * covariance @ np.linalg.inv(alpha**2 * covariance + sigma**2 * np.eye(6))
    noisy = alpha * held_out + sigma * random.normal(size=held_out.shape)
    restored = mean + (noisy - alpha * mean) @ gain.T
    measured = np.square(restored - held_out).mean()
    assert axes_of(fitted, held_out).linear_denoiser_error(alpha, sigma) == pytest.approx(measured, rel=0.05)
