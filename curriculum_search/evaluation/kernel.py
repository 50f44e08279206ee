"""The kernel distance (KID, Binkowski et al. 2018, arXiv 1801.01401): an unbiased squared maximum mean discrepancy."""

import numpy as np
import torch
from torch import Tensor


def polynomial_mmd(x: Tensor, y: Tensor) -> float:
    """The unbiased estimate of MMD^2 under the kernel (x.y / d + 1)^3.

    Args:
        x: features of one set, float64 [m, d], m at least 2.
        y: of the other, float64 [n, d], n at least 2.

    Returns:
        Near 0 for equal distributions, and below it as often as above.
    """
    m, n = len(x), len(y)
    within_x, within_y, across = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    return float(
        (within_x.sum() - within_x.trace()) / (m * (m - 1))
        + (within_y.sum() - within_y.trace()) / (n * (n - 1))
        - 2 * across.mean()
    )


def kernel_distance(
    reference: Tensor, generated: Tensor, *, num_subsets: int, subset_size: int, seed: int = 0
) -> tuple[float, float]:
    """Mean and standard deviation of `polynomial_mmd` over random subsets of both sets.

    Args:
        reference: features [m, d].
        generated: features [n, d].
        num_subsets: how many pairs of subsets are drawn.
        subset_size: rows of each, without replacement; at most m and n.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    reference, generated = reference.to(torch.float64), generated.to(torch.float64)
    values = []
    for _ in range(num_subsets):
        rows = (torch.from_numpy(rng.choice(len(x), subset_size, replace=False)) for x in (reference, generated))
        chosen = (x[i.to(x.device)] for x, i in zip((reference, generated), rows, strict=True))
        values.append(polynomial_mmd(*chosen))
    return float(np.mean(values)), float(np.std(values))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T).div_(x.shape[1]).add_(1.0).pow_(3)
