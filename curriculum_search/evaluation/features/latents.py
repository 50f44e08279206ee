"""The principal components of the reference's latents: a distance where nothing decodes them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curriculum_search.data import ImageSet
from curriculum_search.evaluation.cache import digest
from curriculum_search.evaluation.features.components import ComponentExtractor, Components, averaged_down, fitted_once
from curriculum_search.evaluation.features.extractor import Features, Sources
from curriculum_search.models.encoders import Codec

_BATCH = 1_024
_SEEN = 16  # latents


@dataclass(frozen=True, kw_only=True)
class LatentComponents(ComponentExtractor):
    """Coordinates along the first principal components of the reference's latents, as the network sees them.

    A distance in these is one between latents: neither FID nor comparable with any distance between images, and blind
    to anything that is not in second moments of latents.  It needs no decoder (encoder ``undecoded``), and latents to
    compare with (`data.reference_latents_path`).

    Attributes:
        num_components: number of features, at most the number of values of a latent, averaged down to 16 x 16.
    """

    kind: Literal["latents"] = "latents"

    MAX_SIDE: ClassVar[int] = 16

    @property
    def label(self) -> str:
        return f"latents{self.num_components}"

    @property
    def of_latents(self) -> bool:
        return True

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        if not reference.encoded:
            raise ValueError(
                f"extractor latents compares with latents, and {reference.name} has images: "
                "data.reference_latents_path names some, and other extractors look at images"
            )
        self.check_numbers(reference, "a latent", "latents")

    def load(self, sources: Sources) -> Features:
        self.check(sources.train, sources.reference)
        reference, codec = sources.reference, sources.encoder.load(sources.device)
        # Some of what is seen says all that decides about it: the encoder's scale and shift, and how latents are drawn.
        seen = _seen(reference, np.arange(min(len(reference), _SEEN)), codec, sources.device)
        content = hashlib.sha256(seen.cpu().numpy().tobytes()).hexdigest()
        name = digest("latents", 1, reference.fingerprint, self.num_components, content)
        components = fitted_once(
            sources.cache_dir / f"latents-{name}.npz",
            self.num_values(reference),
            self.num_components,
            _parts(reference, codec, sources.device),
            sources.device,
        )
        return _LatentFeatures(components, codec, sources.device)


class _LatentFeatures(Features):
    def __init__(self, components: Components, codec: Codec, device: torch.device) -> None:
        self.dimension = components.dimension
        self.checksum = components.checksum
        self.words = (
            f"first {self.dimension} principal components of the reference's latents, {components.checksum[:12]}: a "
            "distance between latents, not between images"
        )
        self._components, self._codec, self._device = components, codec, device

    def __call__(self, images: Tensor) -> Tensor:
        return self._components(averaged_down(images, LatentComponents.MAX_SIDE))

    def stored(self, images: ImageSet, indices: NDArray[np.int64]) -> Tensor:
        return _seen(images, indices, self._codec, self._device)


def _seen(images: ImageSet, indices: NDArray[np.int64], codec: Codec, device: torch.device) -> Tensor:
    """What the network sees of latents, float32 [B, C, H, W]; where they are drawn, each with a noise of its own."""
    noise = None
    if codec.draws:
        shape = (images.channels, images.resolution, images.resolution)
        generators = [torch.Generator().manual_seed(index) for index in indices.tolist()]
        noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(device)
    return codec.encode(images.stored(indices).to(device), noise)


def _parts(reference: ImageSet, codec: Codec, device: torch.device) -> Iterator[Tensor]:
    for start in range(0, len(reference), _BATCH):
        indices = np.arange(start, min(start + _BATCH, len(reference)))
        yield averaged_down(_seen(reference, indices, codec, device), LatentComponents.MAX_SIDE).cpu()
