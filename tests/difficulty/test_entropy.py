"""The relative entropy between neighbouring marginals, against closed forms and quadrature."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from curriculum_search.data import Digits
from curriculum_search.difficulty import EntropyStudy, PrincipalAxes
from curriculum_search.difficulty.axes import coefficients
from curriculum_search.difficulty.entropy import Level, gaussian_relative_entropy, level_pairs, upper_bound
from curriculum_search.diffusion import DDPM, EDM, Flow, Process

PROCESSES = pytest.mark.parametrize("process", [DDPM(), EDM(), Flow()], ids=lambda p: type(p).__name__)


def axes_of(rows: np.ndarray, num_fitted: int) -> PrincipalAxes:
    tensor = torch.from_numpy(np.asarray(rows, dtype=np.float64))
    return PrincipalAxes.from_products(tensor @ tensor.T, num_fitted, tensor.shape[1])


def pair(process: Process, t: int) -> tuple[Level, Level]:
    num_levels = process.num_levels or 1000
    alpha, sigma = coefficients(process, (np.array([t - 1, t]) + 0.5) / num_levels)
    return Level(alpha[0], sigma[0]), Level(alpha[1], sigma[1])


def by_quadrature(points: list[float], near: Level, far: Level) -> float:
    """D_KL in nats of one-dimensional mixtures of Gaussians of equal weight around `points`."""
    x = np.sort(np.concatenate([near.alpha * p + near.sigma * np.linspace(-9, 9, 20_001) for p in points]))
    log_p, log_q = (
        np.logaddexp.reduce([stats.norm.logpdf(x, level.alpha * p, level.sigma) for p in points]) - np.log(len(points))
        for level in (near, far)
    )
    return float(integrate.trapezoid(np.exp(log_p) * (log_p - log_q), x))


@pytest.mark.parametrize("t", [1, 30, 300, 800])
def test_the_gaussian_closed_form_is_the_integral_that_it_stands_for(t: int) -> None:
    near, far = pair(DDPM(), t)
    variance, mean = 0.25, 0.4
    axes = PrincipalAxes(
        num_pixels=1,
        mean=np.array([mean]),
        variances=np.array([variance]),
        fitted=np.array([[mean]]),
        held_out=np.array([[mean]]),
        held_out_rest=np.zeros(1),
    )
    p = stats.norm(near.alpha * mean, np.sqrt(near.alpha**2 * variance + near.sigma**2))
    q = stats.norm(far.alpha * mean, np.sqrt(far.alpha**2 * variance + far.sigma**2))
    # Both orders, so that what the first-order terms leave of rounding cancels.
    exact = integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -8, 8, epsabs=1e-15, limit=400)[0]
    assert gaussian_relative_entropy(axes, near, far) == pytest.approx(exact, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize(("variance", "peak"), [(0.25, 133), (4.0, 318)])
def test_on_gaussian_data_the_estimate_is_the_closed_form_with_its_peak(variance: float, peak: int) -> None:
    rows = np.random.default_rng(0).normal(0.0, np.sqrt(variance), (1280, 4))
    curve = EntropyStudy(num_levels=32).measure_axes(axes_of(rows, 1024), DDPM())

    def exact(t: int) -> float:
        near, far = pair(DDPM(), t)
        ratio = (near.alpha**2 * variance + near.sigma**2) / (far.alpha**2 * variance + far.sigma**2)
        return float(4 * 0.5 * (ratio - 1 - np.log(ratio)))

    t = np.rint(curve.q * 1000).astype(int)
    known = np.array([exact(i) for i in t])
    assert np.argmax([exact(i) for i in range(1, 1000)]) + 1 == peak
    assert abs(t[np.argmax(curve.relative_entropy)] - peak) <= 35  # a width of the pairs' grid
    tell = known > 1e-3 * known.max()
    np.testing.assert_allclose(curve.relative_entropy[tell], known[tell], rtol=0.2)
    np.testing.assert_allclose(curve.gaussian[tell], known[tell], rtol=0.2)


@PROCESSES
def test_on_two_points_the_estimate_is_the_integral_also_where_a_gaussian_is_wrong(process: Process) -> None:
    axes = axes_of(np.resize([[-0.8], [0.8]], (1000, 1)), 800)
    curve = EntropyStudy(num_draws=2000, num_levels=12).measure_axes(axes, process)
    pairs = [pair(process, round(q * 1000)) for q in curve.q]
    exact = np.array([by_quadrature([-0.8, 0.8], near, far) for near, far in pairs])
    np.testing.assert_allclose(curve.relative_entropy, exact, rtol=0.25)
    assert np.max(exact / curve.gaussian) > 10


@PROCESSES
def test_on_digits_the_estimate_lies_below_the_upper_bound_and_grows_towards_clean_images(process: Process) -> None:
    study = EntropyStudy(num_images=256, num_draws=128, num_levels=16)
    curve = study.measure(Digits().load(), process)
    assert np.all(curve.relative_entropy <= curve.upper_bound + 4 * curve.standard_error)
    assert np.all(curve.standard_error < 0.15 * curve.relative_entropy)
    middle = len(curve.q) // 2
    assert np.all(np.diff(curve.relative_entropy[: middle // 2]) < 0)
    again = study.measure(Digits().load(), process)
    assert np.array_equal(curve.relative_entropy, again.relative_entropy)


def test_on_one_image_shown_again_and_again_the_estimate_is_the_upper_bound() -> None:
    rows = np.repeat(np.random.default_rng(0).normal(0, 0.5, (1, 12)), 40, axis=0)
    curve = EntropyStudy(num_draws=16, num_levels=8).measure_axes(axes_of(rows, 32), DDPM())
    np.testing.assert_allclose(curve.relative_entropy, curve.upper_bound, rtol=1e-6)


def test_equal_shares_of_difficulty_are_equal_steps_of_log_noise_for_black_holes() -> None:
    """Images that are all zero have nothing but noise, whose Fisher-Rao length is the step of ln sigma."""
    process = DDPM()
    curve = EntropyStudy(num_draws=2, num_levels=999).measure_axes(axes_of(np.zeros((20, 6)), 16), process)
    edges = curve.difficulty().split_equally(4)
    sigma = coefficients(process, np.concatenate([[0.0], edges, [1.0 - 1e-9]]))[1]
    steps = np.diff(np.log(sigma))
    np.testing.assert_allclose(steps[1:], steps[1:].mean(), rtol=0.05)


@pytest.mark.parametrize("rows", [3, 500], ids=["more pixels than images", "more images than pixels"])
def test_directions_without_data_count_as_noise(rows: int) -> None:
    random = np.random.default_rng(3)
    images = np.zeros((rows + 1, 20))
    images[:, :2] = random.normal(0, 0.5, (rows + 1, 2))
    axes = axes_of(images, rows)
    near, far = pair(DDPM(), 40)
    inner = axes_of(images[:, :2], rows)
    excess = (near.sigma / far.sigma) ** 2 - 1
    alone = 18 * 0.5 * (excess - np.log1p(excess))
    for measure in (gaussian_relative_entropy, upper_bound):
        assert measure(axes, near, far) == pytest.approx(measure(inner, near, far) + alone, rel=1e-9)


@pytest.mark.parametrize("num_levels", [2, 21, 1000])
@pytest.mark.parametrize("num_pairs", [1, 7, 64, 2000])
def test_pairs_of_levels_lie_in_their_intervals_which_cover_all_of_q(num_levels: int, num_pairs: int) -> None:
    process = DDPM(schedule="linear" if num_levels > 20 else "cosine", num_timesteps=num_levels)
    edges, t = level_pairs(process.log_snr((np.arange(num_levels) + 0.5) / num_levels), num_pairs)
    assert edges[0] == 0
    assert edges[-1] == 1
    assert np.all(np.diff(edges) > 0)
    assert len(edges) == len(t) + 1 <= num_pairs + 1
    assert np.all((edges[:-1] <= t / num_levels) & (t / num_levels <= edges[1:]))
    if num_pairs >= 64 and num_levels == 1000:
        assert np.diff(edges).max() <= 3 / 64
        assert np.abs(np.diff(process.log_snr(t / num_levels))).max() < 1


def test_fields_are_checked() -> None:
    with pytest.raises(ValueError, match="num_draws must be at least 2, not 1"):
        EntropyStudy(num_draws=1)
