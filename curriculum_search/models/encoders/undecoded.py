"""Latents whose autoencoder is not there: trained on, and compared with latents."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from curriculum_search.data import ImageSet, LatentSet, to_uint8
from curriculum_search.models.encoders.base import Codec, Decoded, Encoder, Shape
from curriculum_search.models.encoders.latents import (
    PerChannel,
    check_channels,
    check_latents,
    check_scale,
    drawn,
    normalisation,
)

_SHOWN = 3  # channels, as red, green and blue
_WIDTH = 3.0  # standard deviations of latents from black to white


@dataclass(frozen=True, kw_only=True)
class Undecoded(Encoder):
    """The network sees (latent - shift) * scale of latents that were encoded before, and nothing decodes its samples.

    Metrics can look at latents only (extractor ``latents``).  Sample grids show the first three channels, or the first
    where there are fewer, as colours: a picture by which a trained network is told from an untrained one, not an image.

    Attributes:
        scale: a factor, or one for each channel, which should bring the latents' standard deviation near 1.
        shift: what is taken off first, or that for each channel.
        sample: draw each latent anew where mean and standard deviation are stored; false: take its mean.
    """

    kind: Literal["undecoded"] = "undecoded"
    scale: PerChannel = 1.0
    shift: PerChannel = 0.0
    sample: bool = True

    def __post_init__(self) -> None:
        check_scale(self.kind, self.scale)

    @property
    def bounded(self) -> bool:
        return False

    @property
    def decodes(self) -> bool:
        return False

    def shape_of(self, images: ImageSet) -> Shape:
        if not images.encoded:
            raise ValueError(
                f"encoder undecoded takes latents, and {images.name} has images: latents to compare with are given as "
                "data.reference_latents_path (data.path itself will do), and an autoencoder as encoder vae"
            )
        check_channels(images.channels, scale=self.scale, shift=self.shift)
        return images.channels, images.resolution, images.resolution

    def check(self, images: ImageSet) -> None:
        """See `Encoder.check`; some latents are read."""
        self.shape_of(images)
        assert isinstance(images, LatentSet)
        check_latents(images, *normalisation(self.shift, self.scale), draws=self.sample)

    def load(self, device: torch.device) -> Codec:
        return _Undecoded(self, device)


class _Undecoded(Codec):
    def __init__(self, encoder: Undecoded, device: torch.device) -> None:
        self.draws = encoder.sample
        self._shift, self._scale = (values.to(device) for values in normalisation(encoder.shift, encoder.scale))

    def encode(self, stored: Tensor, noise: Tensor | None) -> Tensor:
        return (drawn(stored, noise if self.draws else None) - self._shift) * self._scale

    def decode(self, values: Tensor) -> Decoded:
        shown = values[:, :_SHOWN] if values.shape[1] >= _SHOWN else values[:, :1]
        return Decoded(images=to_uint8(shown / _WIDTH), finite=torch.isfinite(values).all())
