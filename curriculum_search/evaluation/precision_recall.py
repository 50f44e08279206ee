"""Improved precision and recall (Kynkaanniemi et al. 2019, arXiv 1904.06991) on k-nearest-neighbour manifolds."""

import torch
from torch import Tensor

_CHUNK = 2_048  # rows of a distance matrix that exist at once


def precision_recall(reference: Tensor, generated: Tensor, *, num_neighbours: int = 3) -> tuple[float, float]:
    """The share of `generated` inside the manifold of `reference`, and the other way round.

    A set's manifold is the union of balls around its members, each reaching to the member's k-th nearest neighbour
    (itself not counted).  Distances are taken in float64, a block of rows at a time.

    Args:
        reference: features [m, d].
        generated: features [n, d].
        num_neighbours: k; less than m and n.
    """
    # Distances do not change under a shift, but their rounding errors do.
    centre = reference.to(torch.float64).mean(0)
    reference, generated = reference.to(torch.float64) - centre, generated.to(torch.float64) - centre
    precision = _share_inside(generated, reference, num_neighbours)
    return precision, _share_inside(reference, generated, num_neighbours)


def _share_inside(points: Tensor, members: Tensor, k: int) -> float:
    # The k + 1 nearest of a member's own set include itself, at distance 0.
    radii = torch.cat([_squared(rows, members).kthvalue(k + 1, dim=1).values for rows in torch.split(members, _CHUNK)])
    inside = [(_squared(rows, members) <= radii).any(1) for rows in torch.split(points, _CHUNK)]
    return float(torch.cat(inside).to(torch.float64).mean())


def _squared(x: Tensor, y: Tensor) -> Tensor:
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * (x @ y.T)).clamp_(min=0)
