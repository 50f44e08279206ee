from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from curriculum_search.diffusion import (
    DDPM,
    EDM,
    Beta,
    Density,
    Flow,
    Histogram,
    Laplace,
    LogitNormal,
    LogNormal,
    Process,
    Speed,
    Uniform,
)

Q = np.linspace(0, 1, 4001)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 5), (0.5, 0.5), (0.05, 0.1), (100, 30), (1e4, 1e4)])
def test_beta_has_the_distribution_function_of_scipy(a: float, b: float) -> None:
    density = Beta(a=a, b=b).piecewise(Flow())
    exact = stats.beta(a, b).cdf
    np.testing.assert_allclose(density.cdf_at(density.knots[1:]), exact(density.knots[1:]), atol=1e-5)
    np.testing.assert_allclose(density.cdf_at(Q), exact(Q), atol=1e-4)


@pytest.mark.parametrize(("mean", "std"), [(0, 1), (-1.5, 0.3), (3, 2)])
def test_logit_normal_is_the_sigmoid_of_a_normal(mean: float, std: float) -> None:
    density = LogitNormal(mean=mean, std=std).piecewise(Flow())
    with np.errstate(divide="ignore"):
        exact = stats.norm(mean, std).cdf(logit(Q))
    np.testing.assert_allclose(density.cdf_at(Q), exact, atol=1e-4)
    np.testing.assert_allclose(
        density.icdf(np.array([0.1, 0.5, 0.9])), expit(mean + std * stats.norm.ppf([0.1, 0.5, 0.9])), rtol=1e-3
    )


def test_edms_own_log_normal_is_uniform_over_its_noise_quantile() -> None:
    density = LogNormal(mean=-0.7, std=1.5).piecewise(EDM(p_mean=-0.7, p_std=1.5))
    np.testing.assert_allclose(density.cdf_at(Q), Q, atol=1e-8)


@pytest.mark.parametrize("process", [EDM(), Flow(), DDPM(), DDPM(schedule="cosine", num_timesteps=4000)])
def test_log_normal_draws_have_normal_log_sigma_under_every_process(process: Process) -> None:
    density = LogNormal(mean=-0.5, std=0.8).piecewise(process)
    u = (np.arange(20_000) + 0.5) / 20_000
    log_sigma = -0.5 * process.log_snr(density.icdf(u))
    np.testing.assert_allclose(log_sigma.mean(), -0.5, atol=5e-3)
    np.testing.assert_allclose(log_sigma.std(), 0.8, atol=5e-3)
    np.testing.assert_allclose(np.median(log_sigma), -0.5, atol=1e-2)


def test_log_normal_gives_each_timestep_one_constant_stretch() -> None:
    density = LogNormal().piecewise(DDPM(num_timesteps=100))
    np.testing.assert_allclose(density.knots, np.linspace(0, 1, 101))


def test_uniform_is_uniform() -> None:
    np.testing.assert_array_equal(Uniform().piecewise(DDPM()).cdf_at(Q), Q)


def test_speed_is_k_times_as_dense_below_tau() -> None:
    density = Speed(k=5, tau=0.7).piecewise(DDPM())
    # SpeeD's P(t) over T = 1000 timesteps: k / (T + tau (k - 1)) below tau = 700, 1 / (T + tau (k - 1)) above.
    np.testing.assert_allclose(
        density.pdf_at(np.array([0.1, 0.699, 0.701, 0.95])), 1000 * np.array([5, 5, 1, 1]) / 3800
    )


def test_a_histogram_need_not_be_normalised() -> None:
    density = Histogram(edges=(0.0, 0.25, 1.0), mass=(30.0, 10.0)).piecewise(Flow())
    np.testing.assert_allclose(density.cdf_at(np.array([0.25, 0.625])), [0.75, 0.875])


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 0.5), (-1.0, 2.0)])
def test_laplace_is_that_of_scipy_over_log_snr(mean: float, scale: float, process: Process) -> None:
    density = Laplace(mean=mean, scale=scale).piecewise(process)
    exact = stats.laplace(loc=mean, scale=scale).sf  # noise rises where log-SNR falls
    if process.num_levels is None:
        q = density.knots[1:-1]
        np.testing.assert_allclose(density.cdf_at(q), exact(process.log_snr(q)), atol=1e-9)
        return
    log_snr = process.log_snr((np.arange(process.num_levels) + 0.5) / process.num_levels)
    between = 0.5 * (log_snr[1:] + log_snr[:-1])
    np.testing.assert_allclose(density.cdf_at(density.knots[1:-1]), exact(between), atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        ("lognormal", {"std": 0.0}, "std"),
        ("logit_normal", {"std": -1.0}, "std"),
        ("beta", {"a": 0.0}, "a must"),
        ("beta", {"b": 1e9}, "b must"),
        ("speed", {"k": 0.0}, "k must"),
        ("speed", {"tau": 1.0}, "tau"),
        ("laplace", {"scale": 0.0}, "scale"),
        ("entropy_rate", {"uniform_share": 2.0}, "uniform_share"),
        ("histogram", {"edges": (0.0, 1.0), "mass": (1.0, 2.0)}, "mass"),
        ("histogram", {"edges": (0.0, 0.9), "mass": (1.0,)}, "knots"),
        ("histogram", {"edges": (0.0, 1.0), "mass": (-1.0,)}, "mass"),
        ("loss_second_moment", {"history": 0}, "history"),
        ("loss_second_moment", {"uniform_share": 1.5}, "uniform_share"),
        ("loss_second_moment", {"num_bins": 0}, "num_bins"),
    ],
)
def test_impossible_fields_are_refused_by_name(kind: str, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Density.from_dict({"kind": kind, **fields})


def test_every_kind_is_registered() -> None:
    assert set(Density.kinds()) == {
        "uniform", "lognormal", "logit_normal", "beta", "speed", "histogram", "loss_second_moment", "laplace",
            "entropy_rate", "moving",
    }  # fmt: skip
