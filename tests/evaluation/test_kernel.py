"""The kernel distance, against torch-fidelity and its definition."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.arrays import Numbers

from curriculum_search.evaluation.kernel import kernel_distance, polynomial_mmd


def test_agrees_with_torch_fidelity(numbers: Numbers) -> None:
    x, y = numbers(50, 12), 1.25 * numbers(50, 12, stream=1) + 0.25
    # kernel_mmd of torch-fidelity 0.4.0 with KID's kernel.
    assert polynomial_mmd(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(0.17375572158224672, rel=1e-12)


def test_is_the_average_over_all_pairs_of_different_members(numbers: Numbers) -> None:
    x, y = numbers(7, 3), numbers(5, 3, stream=1)

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within_x = np.mean([kernel(x[i], x[j]) for i in range(7) for j in range(7) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(5) for j in range(5) if i != j])
    across = np.mean([kernel(a, b) for a in x for b in y])
    expected = within_x + within_y - 2 * across
    assert polynomial_mmd(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(expected, rel=1e-12)


def test_has_expectation_zero_at_any_size_for_equal_distributions() -> None:
    rng = np.random.default_rng(0)
    for size in (4, 20):
        values = [
            polynomial_mmd(*(torch.from_numpy(rng.normal(size=(size, 2))) for _ in range(2))) for _ in range(2_000)
        ]
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_subsets_of_everything_have_no_spread_and_smaller_ones_have_the_same_mean() -> None:
    rng = np.random.default_rng(1)
    x, y = torch.from_numpy(rng.normal(size=(200, 4))), torch.from_numpy(rng.normal(size=(200, 4)) + 0.3)
    whole, none = kernel_distance(x, y, num_subsets=3, subset_size=200)
    assert none == pytest.approx(0, abs=1e-12)
    mean, spread = kernel_distance(x, y, num_subsets=200, subset_size=50)
    assert spread > 0
    assert mean == pytest.approx(whole, abs=4 * spread / np.sqrt(200))


def test_the_same_call_draws_the_same_subsets(numbers: Numbers) -> None:
    x, y = torch.from_numpy(numbers(40, 3)), torch.from_numpy(numbers(30, 3, stream=1))
    first, second = (kernel_distance(x, y, num_subsets=5, subset_size=10) for _ in range(2))
    assert first == second
    assert first != kernel_distance(x, y, num_subsets=5, subset_size=10, seed=1)
