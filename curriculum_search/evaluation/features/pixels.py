"""The principal components of the reference's pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from curriculum_search.data import ImageSet, to_float
from curriculum_search.evaluation.cache import digest
from curriculum_search.evaluation.features.components import Components, fitted_once
from curriculum_search.evaluation.features.extractor import Extractor, Features, Sources

_MAX_SIDE = 32  # pixels; larger images are averaged down: the eigendecomposition grows with the sixth power of the side
_BATCH = 1_024


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
        values = _num_values(reference)
        if self.num_components > values:
            raise ValueError(
                f"num_components of extractor pixels must be at most the {values} values of an image, "
                f"not {self.num_components}"
            )
        if len(reference) < 2:
            raise ValueError(f"extractor pixels needs at least 2 images to compare with, and {reference.name} has one")

    def load(self, sources: Sources) -> Features:
        self.check(sources.train, sources.reference)
        reference = sources.reference
        path = sources.cache_dir / f"pixels-{digest('pixels', 1, reference.fingerprint, self.num_components)}.npz"
        return _PixelFeatures(
            fitted_once(path, _num_values(reference), self.num_components, _parts(reference), sources.device)
        )


class _PixelFeatures(Features):
    def __init__(self, components: Components) -> None:
        self.dimension = components.dimension
        self.checksum = components.checksum
        self.words = f"first {self.dimension} principal components of the reference's pixels, {self.checksum[:12]}"
        self._components = components

    def __call__(self, images: Tensor) -> Tensor:
        return self._components(flattened(images))


def _num_values(reference: ImageSet) -> int:
    return reference.channels * min(reference.resolution, _MAX_SIDE) ** 2


def _parts(reference: ImageSet) -> Iterator[Tensor]:
    for start in range(0, len(reference), _BATCH):
        images, _ = reference.read(np.arange(start, min(start + _BATCH, len(reference))))
        yield flattened(images)


def flattened(images: Tensor) -> Tensor:
    """uint8 [B, C, H, W] as float32 [B, values] in [-1, 1], averaged down to at most 32 x 32 pixels."""
    pixels = to_float(images)
    if pixels.shape[2] > _MAX_SIDE:
        pixels = F.interpolate(pixels, (_MAX_SIDE, _MAX_SIDE), mode="area")
    return pixels.flatten(1)
