"""The Frechet distance, against closed forms and other packages."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import sqrtm
from support.arrays import Numbers
from torch import Tensor

from curriculum_search.evaluation import Diverged
from curriculum_search.evaluation.frechet import Gaussian, Moments, frechet_distance

Floats = NDArray[np.float64]


def rotation(d: int, seed: int) -> Floats:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


def distance(
    mean1: ArrayLike, covariance1: ArrayLike, mean2: ArrayLike, covariance2: ArrayLike, count: int | None = None
) -> float:
    reference = Gaussian.from_covariance(torch.as_tensor(mean1), torch.as_tensor(covariance1))
    return frechet_distance(reference, torch.as_tensor(mean2), torch.as_tensor(covariance2), count)


def by_sqrtm(mean1: Floats, covariance1: Floats, mean2: Floats, covariance2: Floats) -> float:
    root = np.real(sqrtm(covariance1 @ covariance2))
    return float(np.sum((mean1 - mean2) ** 2) + np.trace(covariance1 + covariance2 - 2 * root))


@settings(max_examples=40, deadline=None)
@given(
    d=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    zeros=st.integers(0, 11),
    other_zeros=st.integers(0, 11),
)
def test_closed_form_for_covariances_with_common_eigenvectors_of_any_rank(
    d: int, seed: int, zeros: int, other_zeros: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.1, 3, d), rng.uniform(0.1, 3, d)
    a[: min(zeros, d)] = 0
    b[d - min(other_zeros, d) :] = 0
    axes, mean1, mean2 = rotation(d, seed), rng.normal(size=d), rng.normal(size=d)
    expected = np.sum((mean1 - mean2) ** 2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    assert distance(mean1, (axes * a) @ axes.T, mean2, (axes * b) @ axes.T) == pytest.approx(expected, rel=1e-7)


def test_one_dimension_is_the_difference_of_means_and_of_standard_deviations() -> None:
    assert distance([1.0], [[4.0]], [3.0], [[9.0]]) == pytest.approx((3 - 1) ** 2 + (3 - 2) ** 2)


@pytest.mark.parametrize(("d", "samples"), [(20, 500), (64, 40), (128, 129)])
def test_agrees_with_scipy_sqrtm_where_samples_are_many_or_fewer_than_features(d: int, samples: int) -> None:
    rng = np.random.default_rng(d)
    mix = rng.normal(size=(d, d)) * np.exp(-np.arange(d) / d)
    x, y = rng.normal(size=(2_000, d)) @ mix, 0.3 + rng.normal(size=(samples, d)) @ mix.T
    pair = (x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    # sqrtm itself is off by some 1e-8 where the product is singular.
    assert distance(*pair, samples) == pytest.approx(by_sqrtm(*pair), rel=1e-6 if samples <= d else 1e-9)


@pytest.mark.parametrize("samples", [700, 60])
def test_small_eigenvalues_count_although_they_are_a_trillionth_of_the_largest(samples: int) -> None:
    rng, d = np.random.default_rng(0), 100
    mix = rng.normal(size=(d, d)) * np.exp(-14 * np.arange(d) / d)
    x, y = rng.normal(size=(900, d)) @ mix, rng.normal(size=(samples, d)) @ mix[::-1]
    # tr (S S')^(1/2) is the sum of the singular values of A^T B for any S = A A^T, S' = B B^T: no squares needed.
    a, b = ((z - z.mean(0)) / np.sqrt(len(z) - 1) for z in (x, y))
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.sum(a**2) + np.sum(b**2) - 2 * root
    found = distance(x.mean(0), a.T @ a, y.mean(0), b.T @ b, samples)
    # With the factor's columns in the order of eigh the error is some 1e-6.
    assert found == pytest.approx(expected, rel=1e-9)


def test_agrees_with_pytorch_fid_and_torch_fidelity(numbers: Numbers) -> None:
    x, y = numbers(60, 12), 1.25 * numbers(50, 12, stream=1) + 0.25
    pair = (x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    # calculate_frechet_distance of pytorch-fid 0.3.0 gives 1.8093394754678673, torch-fidelity 0.4.0 1.8093394754678744.
    assert distance(*pair) == pytest.approx(1.80933947546787, rel=1e-12)


def test_fewer_samples_than_features_cost_no_precision() -> None:
    d, samples = 300, 60
    rng, axes, spectrum = np.random.default_rng(0), rotation(d, 0), np.zeros(d)
    spectrum[: samples - 1] = np.sort(rng.uniform(1, 3, samples - 1))
    full = np.linspace(0.5, 4, d)
    expected = np.sum((np.sqrt(full) - np.sqrt(spectrum)) ** 2)
    one, other = (np.zeros(d), (axes * full) @ axes.T), (np.zeros(d), (axes * spectrum) @ axes.T)
    assert distance(*one, *other, samples) == pytest.approx(expected, rel=1e-12)
    assert distance(*other, *one) == pytest.approx(expected, rel=1e-12)


def test_equal_gaussians_are_at_distance_zero_and_never_below() -> None:
    covariance = np.cov(np.random.default_rng(0).normal(size=(20, 50)), rowvar=False)
    found = distance(np.ones(50), covariance, np.ones(50), covariance)
    assert 0 <= found < 1e-9


def test_a_reference_without_any_spread_is_allowed() -> None:
    assert distance([0.0, 0.0], np.zeros((2, 2)), [3.0, 4.0], np.eye(2)) == pytest.approx(25 + 2)


def test_streamed_moments_are_those_of_all_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(103, 7)).astype(np.float32) * 3 + 5
    moments = Moments(7)
    for part in np.array_split(rows, 9):
        moments.update(torch.from_numpy(part))
    assert moments.count == 103
    np.testing.assert_allclose(moments.mean(), rows.astype(np.float64).mean(0), rtol=1e-13)
    np.testing.assert_allclose(moments.covariance(), np.cov(rows.astype(np.float64), rowvar=False), rtol=1e-10)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_an_error_and_no_distance(bad: float) -> None:
    rows = torch.ones(10, 3)
    rows[4, 1] = bad
    moments = Moments(3)
    moments.update(rows)
    with pytest.raises(Diverged, match="not finite"):
        moments.mean()


def test_another_dimension_is_named() -> None:
    reference = Gaussian.from_covariance(torch.zeros(4), torch.eye(4))
    with pytest.raises(ValueError, match="reference has 4 features, the samples have 3"):
        frechet_distance(reference, torch.zeros(3), torch.eye(3))


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        (torch.zeros(3), torch.eye(4), "square covariance of the same size"),
        (torch.full((2,), torch.nan), torch.eye(2), "not finite"),
        (torch.zeros(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "negative eigenvalue"),
    ],
)
def test_a_reference_that_is_no_gaussian_is_refused(mean: Tensor, covariance: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gaussian.from_covariance(mean, covariance)
