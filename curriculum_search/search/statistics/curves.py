"""What learning curves and sets of values say: how soon a target is reached, and what no other beats."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def reach(images: Array, gains: Array, targets: Array) -> Array:
    """How much sooner than at its end each curve reaches its target for good, as a ratio of images seen.

    It is all images of the run, over the images from which on the curve stays at its target or better.  Between
    evaluations the curve is taken to be linear.

    Args:
        images: [E], of the evaluations.
        gains: [B, E], more is better.
        targets: [B].

    Returns:
        [B], at least 1; 0 where a curve ends below its target.
    """
    reached = gains >= targets[:, None]
    steps = gains.shape[1]
    first = steps - np.cumprod(reached[:, ::-1], axis=1).sum(axis=1)
    at = np.minimum(first, steps - 1)
    before = np.maximum(at - 1, 0)
    rows = np.arange(len(gains))
    rise = gains[rows, at] - gains[rows, before]
    share = np.divide(targets - gains[rows, before], rise, out=np.ones(len(gains)), where=rise > 0)
    needed = images[before] + np.clip(share, 0, 1) * (images[at] - images[before])
    return np.where(first < steps, images[-1] / needed, 0.0)


def pareto(gains: Array) -> NDArray[np.bool_]:
    """The Pareto set: which rows of `gains` [B, M] no other beats in a column without losing in any; more is better."""
    as_good = np.all(gains[None] >= gains[:, None], axis=2)
    better = np.any(gains[None] > gains[:, None], axis=2)
    front: NDArray[np.bool_] = np.logical_not(np.any(as_good & better, axis=1))
    return front
