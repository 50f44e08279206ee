"""The images as they are."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from curriculum_search.data import ImageSet, to_float, to_uint8
from curriculum_search.models.encoders.base import Codec, Decoded, Encoder, Shape


@dataclass(frozen=True, kw_only=True)
class PixelEncoder(Encoder):
    """The pixels, x / 127.5 - 1 in [-1, 1]; samples are rounded to 8 bits."""

    kind: Literal["pixels"] = "pixels"

    @property
    def bounded(self) -> bool:
        return True

    def shape_of(self, images: ImageSet) -> Shape:
        if images.encoded:
            raise ValueError(
                f"{images.name} has latents, not pixels: name the autoencoder that they are of, as kind vae"
            )
        return images.channels, images.resolution, images.resolution

    def load(self, device: torch.device) -> Codec:
        return _Pixels()


class _Pixels(Codec):
    draws = False

    def encode(self, stored: Tensor, noise: Tensor | None) -> Tensor:
        return to_float(stored)

    def decode(self, values: Tensor) -> Decoded:
        return Decoded(images=to_uint8(values), finite=torch.isfinite(values).all())


PIXELS = PixelEncoder()
"""What there is without an encoder."""
