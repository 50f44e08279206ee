"""The principal components of the reference's pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from torch import Tensor

from curriculum_search.data import ImageSet, to_float
from curriculum_search.evaluation.cache import digest
from curriculum_search.evaluation.features.components import ComponentExtractor, Components, averaged_down, fitted_once
from curriculum_search.evaluation.features.extractor import Features, Sources

_BATCH = 1_024


@dataclass(frozen=True, kw_only=True)
class Pixels(ComponentExtractor):
    """Coordinates along the first principal components of the reference's pixels (in [-1, 1], at most 32 x 32).

    Cheap, and sensitive to what the eye may not see; blind to anything that is not in second moments of pixels.
    Where the reference varies in fewer directions than that (margins that are always black, pixels that are always
    equal), the rest are made of the first pixels in reading order: the same on every machine, which eigenvectors of
    equal eigenvalues are not.

    Attributes:
        num_components: number of features, at most the number of pixel values.
    """

    kind: Literal["pixels"] = "pixels"

    MAX_SIDE: ClassVar[int] = 32  # pixels

    @property
    def label(self) -> str:
        return f"pca{self.num_components}"

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        if reference.encoded:
            raise ValueError(
                f"extractor pixels looks at the reference's images, and {reference.name} has latents: "
                "data.reference_path names images to compare with"
            )
        self.check_numbers(reference, "an image", "images")

    def load(self, sources: Sources) -> Features:
        self.check(sources.train, sources.reference)
        reference = sources.reference
        path = sources.cache_dir / f"pixels-{digest('pixels', 1, reference.fingerprint, self.num_components)}.npz"
        return _PixelFeatures(
            fitted_once(path, self.num_values(reference), self.num_components, _parts(reference), sources.device)
        )


class _PixelFeatures(Features):
    def __init__(self, components: Components) -> None:
        self.dimension = components.dimension
        self.checksum = components.checksum
        self.words = f"first {self.dimension} principal components of the reference's pixels, {self.checksum[:12]}"
        self._components = components

    def __call__(self, images: Tensor) -> Tensor:
        return self._components(flattened(images))


def _parts(reference: ImageSet) -> Iterator[Tensor]:
    for start in range(0, len(reference), _BATCH):
        yield flattened(reference.stored(np.arange(start, min(start + _BATCH, len(reference)))))


def flattened(images: Tensor) -> Tensor:
    """uint8 [B, C, H, W] as float32 [B, values] in [-1, 1], averaged down to at most 32 x 32 pixels."""
    return averaged_down(to_float(images), Pixels.MAX_SIDE)
