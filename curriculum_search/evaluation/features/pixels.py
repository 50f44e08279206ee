"""The reference's principal components: features that need no network and no weights."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from curriculum_search.data import ImageSet, to_float
from curriculum_search.evaluation.cache import digest, once_whole
from curriculum_search.evaluation.features.extractor import Extractor, Features, Sources, share_from_first
from curriculum_search.evaluation.frechet import Moments

_MAX_SIDE = 32  # pixels; larger images are averaged down: the eigendecomposition grows with the sixth power of the side
_BATCH = 1_024
_ROUNDING = 1e-12  # of the largest variance: what is below is none


@dataclass(frozen=True, kw_only=True)
class Pixels(Extractor):
    """Coordinates along the first principal components of the reference's pixels (in [-1, 1], at most 32 x 32).

    Cheap, and sensitive to what the eye may not see; blind to anything that is not in second moments of pixels.
    Where the reference varies in fewer directions than that (margins that are always black, pixels that are always
    equal), the rest are made of the first pixels in reading order: the same on every machine, which eigenvectors of
    equal eigenvalues are not.

    Attributes:
        num_components: number of features, at most the number of pixel values.
    """

    kind: Literal["pixels"] = "pixels"
    num_components: int = 64

    def __post_init__(self) -> None:
        if self.num_components < 1:
            raise ValueError(f"num_components must be at least 1, not {self.num_components}")

    @property
    def label(self) -> str:
        return f"pca{self.num_components}"

    def dimension(self, reference: ImageSet) -> int:
        return self.num_components

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        if reference.encoded:
            raise ValueError(f"extractor pixels looks at the reference's images, and {reference.name} has latents")
        values = reference.channels * min(reference.resolution, _MAX_SIDE) ** 2
        if self.num_components > values:
            raise ValueError(
                f"num_components of extractor pixels must be at most the {values} values of an image, "
                f"not {self.num_components}"
            )
        if len(reference) < 2:
            raise ValueError(f"extractor pixels needs at least 2 images to compare with, and {reference.name} has one")

    def load(self, sources: Sources) -> Features:
        self.check(sources.train, sources.reference)
        name = digest("pixels", 1, sources.reference.fingerprint, self.num_components)
        path = sources.cache_dir / f"pixels-{name}.npz"
        arrays = once_whole(path, lambda target: self._fit(sources.reference, target), _load)
        return _PixelFeatures(*share_from_first(arrays, sources.device))

    def _fit(self, reference: ImageSet, target: Path) -> None:
        values = reference.channels * min(reference.resolution, _MAX_SIDE) ** 2
        moments = Moments(values)
        for start in range(0, len(reference), _BATCH):
            images, _ = reference.read(np.arange(start, min(start + _BATCH, len(reference))))
            moments.update(flattened(images))
        variances, vectors = (x.flip(-1) for x in torch.linalg.eigh(moments.covariance()))
        rank = int((variances > _ROUNDING * variances[0]).sum())
        basis = vectors[:, : min(rank, self.num_components)]
        if rank < self.num_components:
            basis = _completed(basis, self.num_components)
        with target.open("wb") as file:
            np.savez(file, mean=moments.mean().float().numpy(), basis=basis.float().numpy())


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


class _PixelFeatures(Features):
    def __init__(self, mean: Tensor, basis: Tensor) -> None:
        self.dimension = basis.shape[1]
        content = hashlib.sha256(mean.cpu().numpy().tobytes() + basis.cpu().numpy().tobytes())
        self.checksum = content.hexdigest()
        self.words = f"first {self.dimension} principal components of the reference's pixels, {self.checksum[:12]}"
        self._mean = mean
        self._basis = basis

    def __call__(self, images: Tensor) -> Tensor:
        return (flattened(images) - self._mean) @ self._basis


def flattened(images: Tensor) -> Tensor:
    """uint8 [B, C, H, W] as float32 [B, values] in [-1, 1], averaged down to at most 32 x 32 pixels."""
    pixels = to_float(images)
    if pixels.shape[2] > _MAX_SIDE:
        pixels = F.interpolate(pixels, (_MAX_SIDE, _MAX_SIDE), mode="area")
    return pixels.flatten(1)
