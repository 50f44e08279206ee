"""The Frechet distance between two Gaussians, and the streaming statistics that it needs.

For Gaussians (m, S) and (m', S') it is |m - m'|^2 + tr S + tr S' - 2 tr (S S')^(1/2) (Dowson & Landau 1982; on features
of Inception: Heusel et al. 2017, arXiv 1706.08500).  The usual packages take a matrix square root of the product S S',
which is not symmetric.  With a factor S = A A^T its eigenvalues are those of the symmetric A^T S' A, so that one
``eigvalsh`` gives the trace; A comes from one eigendecomposition of the reference, which is kept with it.

A square root needs small eigenvalues to be right too, and features have spectra over many orders of magnitude.  With
A's columns in order of falling eigenvalue the product is graded, its large entries at the upper left, and LAPACK,
which reduces the lower triangle from there, keeps the relative precision of small eigenvalues.  In the order in which
``eigh`` gives them they drown in the large ones, which costs up to 1e-6 of the distance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.evaluation.errors import Diverged

# Eigenvalues of a reference below this share of its largest are rounding errors.
_ROUNDING = 10 * torch.finfo(torch.float64).eps
# Covariances summed in float32 are symmetric to within this share of their largest entry.
_ASYMMETRY = 1e-4


class Moments:
    """Count, sum and sum of outer products of feature vectors, in float64: all that a Gaussian needs."""

    def __init__(self, dimension: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self._sum = torch.zeros(dimension, dtype=torch.float64, device=device)
        self._outer = torch.zeros(dimension, dimension, dtype=torch.float64, device=device)

    def update(self, features: Tensor) -> None:
        """Add the rows of `features`, any float [B, d]."""
        rows = features.to(torch.float64)
        self.count += len(rows)
        self._sum += rows.sum(0)
        self._outer.addmm_(rows.T, rows)

    def reduce(self) -> Self:
        """Add up over all workers, in place.  Every worker must call it."""
        count = distributed.all_reduce_sum(torch.tensor([self.count], device=self._sum.device))
        distributed.all_reduce_sum(self._sum)
        distributed.all_reduce_sum(self._outer)
        self.count = int(count)
        return self

    def state_dict(self) -> dict[str, Any]:
        """What was added up so far, on this worker."""
        return {"count": self.count, "sum": self._sum, "outer": self._outer}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on, to the bit, where `state_dict` was taken."""
        self.count = state["count"]
        self._sum.copy_(state["sum"])
        self._outer.copy_(state["outer"])

    def mean(self) -> Tensor:
        """float64 [d].

        Raises:
            Diverged: a feature was not finite.
        """
        mean = self._sum / self.count
        if not bool(torch.isfinite(mean).all()):
            raise Diverged("the features of the samples are not finite")
        return mean

    def covariance(self) -> Tensor:
        """The unbiased estimate (divided by count - 1), float64 [d, d]."""
        mean = self.mean()
        return (self._outer - self.count * torch.outer(mean, mean)) / (self.count - 1)


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """A reference: a Gaussian with its covariance in factors.

    Attributes:
        mean: float64 [d].
        factor: float64 [d, r] with covariance = factor @ factor.T, columns in order of falling norm; r is its rank.
        count: images behind it, 0 where a file does not say.
    """

    mean: Tensor
    factor: Tensor
    count: int = 0

    @classmethod
    def from_covariance(cls, mean: Tensor, covariance: Tensor, count: int = 0) -> Self:
        """Factor a covariance; cubic in d, so done once.

        Args:
            mean: [d].
            covariance: symmetric [d, d]; singular ones are welcome.
            count: images behind it.

        Raises:
            ValueError: see `check_gaussian`.
        """
        mean, covariance = _finite(mean, covariance)
        values, vectors = torch.linalg.eigh(covariance)
        _check_eigenvalues(values)
        values, vectors = values.flip(0), vectors.flip(1)
        kept = values > _ROUNDING * values[0]
        return cls(mean=mean, factor=vectors[:, kept] * values[kept].sqrt(), count=count)

    @property
    def dimension(self) -> int:
        """Number of features."""
        return len(self.mean)

    def trace(self) -> float:
        """The covariance's trace."""
        return float(self.factor.square().sum())


def check_gaussian(mean: Tensor, covariance: Tensor) -> None:
    """Find out whether these are a mean [d] and a covariance [d, d]: eigenvalues only, so faster than a factor.

    Raises:
        ValueError: the shapes do not fit, something is not finite, or the matrix is no covariance.
    """
    _check_eigenvalues(torch.linalg.eigvalsh(_finite(mean, covariance)[1]))


def _finite(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    mean, covariance = (x.detach().to("cpu", torch.float64) for x in (mean, covariance))
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(
            f"a mean of shape {tuple(mean.shape)} needs a square covariance of the same size, "
            f"not {tuple(covariance.shape)}"
        )
    if not (bool(torch.isfinite(mean).all()) and bool(torch.isfinite(covariance).all())):
        raise ValueError("the mean or covariance of the reference is not finite")
    difference = float((covariance - covariance.T).abs().max())
    if difference > _ASYMMETRY * float(covariance.abs().max()):
        raise ValueError(f"the covariance of the reference is not symmetric: entries differ by {difference:.3g}")
    return mean, (covariance + covariance.T) / 2


def _check_eigenvalues(values: Tensor) -> None:
    if float(values[0]) < -1e-6 * max(float(values[-1]), 0.0):
        raise ValueError(f"the covariance of the reference has a negative eigenvalue ({float(values[0]):.3g})")


def frechet_distance(reference: Gaussian, mean: Tensor, covariance: Tensor, count: int | None = None) -> float:
    """The (squared) Frechet distance between `reference` and the Gaussian (`mean` [d], `covariance` [d, d]).

    Either covariance may be singular.  One ``eigvalsh`` of the reference's rank.

    Args:
        reference: what is compared with.
        mean: float [d].
        covariance: symmetric float [d, d].
        count: samples behind the covariance, whose rank is below that.  Where they are fewer than features, knowing it
            keeps rounding errors from being taken for eigenvalues.

    Raises:
        ValueError: the dimensions differ.
    """
    mean, covariance = (x.detach().to("cpu", torch.float64) for x in (mean, covariance))
    if mean.shape != reference.mean.shape:
        raise ValueError(f"the reference has {reference.dimension} features, the samples have {len(mean)}")
    product = reference.factor.T @ covariance @ reference.factor
    values = torch.linalg.eigvalsh((product + product.T) / 2, UPLO="L")
    if count is not None:
        values = values[max(len(values) - (count - 1), 0) :]
    root = float(values.clamp(min=0).sqrt().sum())
    shift = float((mean - reference.mean).square().sum())
    return max(shift + reference.trace() + float(covariance.trace()) - 2 * root, 0.0)
