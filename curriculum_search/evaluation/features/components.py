"""The reference's principal components, of whatever values: features that need no network and no weights."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from curriculum_search.data import ImageSet
from curriculum_search.evaluation.cache import once_whole
from curriculum_search.evaluation.features.extractor import Extractor, share_from_first
from curriculum_search.evaluation.frechet import Moments

_ROUNDING = 1e-12  # of the largest variance: what is below is none


@dataclass(frozen=True, kw_only=True)
class ComponentExtractor(Extractor):
    """What extractors of principal components have in common, whatever they are of.

    Attributes:
        num_components: number of features.
        MAX_SIDE: to which what is larger is averaged down: the eigendecomposition grows with the side's sixth power.
    """

    num_components: int = 64

    MAX_SIDE: ClassVar[int]

    def __post_init__(self) -> None:
        if self.num_components < 1:
            raise ValueError(f"num_components must be at least 1, not {self.num_components}")

    def dimension(self, reference: ImageSet) -> int:
        return self.num_components

    def num_values(self, reference: ImageSet) -> int:
        """The values of one of the reference, averaged down."""
        return reference.channels * min(reference.resolution, self.MAX_SIDE) ** 2

    def check_numbers(self, reference: ImageSet, one: str, several: str) -> None:
        """Raise ValueError where the reference has too few values or members; what these are is said in words."""
        kind, values = self.to_dict()["kind"], self.num_values(reference)
        if self.num_components > values:
            raise ValueError(
                f"num_components of extractor {kind} must be at most the {values} values of {one}, "
                f"not {self.num_components}"
            )
        if len(reference) < 2:
            raise ValueError(
                f"extractor {kind} needs at least 2 {several} to compare with, and {reference.name} has one"
            )


def averaged_down(values: Tensor, max_side: int) -> Tensor:
    """float32 [B, C, H, W] as [B, values], averaged down to at most `max_side` squared."""
    if values.shape[2] > max_side:
        values = F.interpolate(values, (max_side, max_side), mode="area")
    return values.flatten(1)


class Components:
    """Coordinates along the first principal components.

    Where the reference varies in fewer directions than that, the rest are made of the first values in order: the same
    on every machine, which eigenvectors of equal eigenvalues are not.

    Args:
        mean: float32 [values], of the reference.
        basis: float32 [values, components], orthonormal.

    Attributes:
        dimension: number of components.
        checksum: of both.
    """

    def __init__(self, mean: Tensor, basis: Tensor) -> None:
        self.dimension = basis.shape[1]
        content = hashlib.sha256(mean.cpu().numpy().tobytes() + basis.cpu().numpy().tobytes())
        self.checksum = content.hexdigest()
        self._mean = mean
        self._basis = basis

    def __call__(self, values: Tensor) -> Tensor:
        """The coordinates float32 [B, components] of values float32 [B, values]."""
        return (values - self._mean) @ self._basis


def fitted_once(
    path: Path, num_values: int, num_components: int, parts: Iterable[Tensor], device: torch.device
) -> Components:
    """The components of values that come in `parts` float32 [B, num_values], kept in the file `path`.

    Every worker must call it, and has those of the first.
    """

    def fit(target: Path) -> None:
        moments = Moments(num_values)
        for part in parts:
            moments.update(part)
        variances, vectors = (x.flip(-1) for x in torch.linalg.eigh(moments.covariance()))
        rank = int((variances > _ROUNDING * variances[0]).sum())
        basis = vectors[:, : min(rank, num_components)]
        if rank < num_components:
            basis = _completed(basis, num_components)
        with target.open("wb") as file:
            np.savez(file, mean=moments.mean().float().numpy(), basis=basis.float().numpy())

    return Components(*share_from_first(once_whole(path, fit, _load), device))


def _completed(basis: Tensor, columns: int) -> Tensor:
    """Orthonormal columns [n, r] and further ones, of the unit vectors in turn what is orthogonal to all before."""
    for unit in torch.eye(len(basis), dtype=basis.dtype):
        if basis.shape[1] == columns:
            break
        rest = unit - basis @ (basis.T @ unit)
        if float(length := rest.norm()) > 1e-3:
            rest /= length
            rest -= basis @ (basis.T @ rest)
            basis = torch.cat([basis, rest[:, None] / rest.norm()], 1)
    return basis


def _load(path: Path) -> list[Tensor]:
    with np.load(path, allow_pickle=False) as file:
        return [torch.from_numpy(file[key]) for key in ("mean", "basis")]
