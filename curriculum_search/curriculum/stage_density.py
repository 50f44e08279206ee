"""The density of a stage: what its noise quantiles are drawn from, and what an adaptive one must be weighted by."""

from typing import Literal

import numpy as np

from curriculum_search.curriculum.accumulation import Accumulation
from curriculum_search.diffusion.density import PiecewiseDensity

UnionDensity = Literal["base", "equal"]


def stage_density(
    base: PiecewiseDensity,
    edges: np.ndarray,
    unlocked: np.ndarray,
    accumulation: Accumulation,
    union_density: UnionDensity,
) -> PiecewiseDensity:
    """The base density restricted to what is unlocked; inside a cluster its shape stays.

    Args:
        base: the base density of q.
        edges: float64 [N + 1], the clusters' edges.
        unlocked: int [k], the unlocked clusters, the newest last.
        accumulation: how the draws are shared out among them.
        union_density: whether each counts with its mass under the base density, or all count the same.
    """
    intervals = np.stack([edges[unlocked], edges[unlocked + 1]], axis=1)
    masses = np.diff(base.cdf_at(intervals))[:, 0] if union_density == "base" else np.ones(len(unlocked))
    shares = accumulation.shares(masses)
    return base.restrict(intervals[shares > 0], shares[shares > 0])


def importance(wanted: PiecewiseDensity, drawn: PiecewiseDensity) -> tuple[np.ndarray, np.ndarray]:
    """The weights that make expectations over draws from one density those over another: wanted / drawn.

    Returns:
        starts: float32 [K], rising; a float32 q belongs to the last start at or below it.
        weights: float32 [K], the ratio of the densities from there on.
    """
    starts = np.union1d(wanted.knots, drawn.knots)[:-1]
    density = drawn.pdf_at(starts)
    weights = np.divide(wanted.pdf_at(starts), density, out=np.ones_like(density), where=density > 0)
    # A float32 is at or above a float64 if and only if it is at or above the first float32 there.
    first = starts.astype(np.float32)
    first = np.where(first < starts, np.nextafter(first, np.float32(2)), first)
    return first, weights.astype(np.float32)
