"""What an encoder must offer.  Nothing outside of it knows how many channels its values have, their type or bounds."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from curriculum_search.config import Kinded
from curriculum_search.data import ImageSet

Shape = tuple[int, int, int]
"""Channels, height and width of what the network sees."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Images that were made of a network's values.

    Attributes:
        images: uint8 [B, C, H, W].
        finite: bool []: whether they were finite before they were rounded.
    """

    images: Tensor
    finite: Tensor


class Codec(ABC):
    """A loaded encoder.  Nothing in it waits for the device, and no gradient flows through it.

    Attributes:
        draws: whether what the network sees of an image is drawn at random.
    """

    draws: bool

    @abstractmethod
    def encode(self, stored: Tensor, noise: Tensor | None) -> Tensor:
        """What the network sees, float32 [B, *shape], of images as their set has them.

        Args:
            stored: what `ImageSet.read` gives, on the codec's device: images uint8 [B, C, H, W], latents float
                [B, C, H, W], or the mean and standard deviation of latents, float [B, 2, C, H, W].
            noise: standard normal [B, *shape] where the codec `draws`; None: what is expected instead of a draw.
        """

    @abstractmethod
    def decode(self, values: Tensor) -> Decoded:
        """The images that values [B, *shape] stand for, as a network generates them."""


class Encoder(Kinded):
    """What the network sees of images, and the way back."""

    @property
    @abstractmethod
    def bounded(self) -> bool:
        """Whether all values that the network sees lie in [-1, 1], to which samplers may then clip."""

    @property
    def decodes(self) -> bool:
        """Whether `Codec.decode` gives the images themselves, so that metrics may look at them."""
        return True

    @abstractmethod
    def shape_of(self, images: ImageSet) -> Shape:
        """The shape of what the network sees of `images`.

        Raises:
            ValueError, FileNotFoundError: it cannot be made of such images, or the encoder is not there.
        """

    @abstractmethod
    def load(self, device: torch.device) -> Codec:
        """The encoder at work on `device`.  A process that asks again gets the same.

        Raises:
            ValueError, FileNotFoundError: it is not there, or not what it should be.
        """

    def check(self, images: ImageSet) -> None:
        """Quickly find what would fail later.

        Raises:
            ValueError, FileNotFoundError: naming the file and what to change.
        """
        self.shape_of(images)

    def check_reference(self, train: ImageSet, reference: ImageSet) -> None:
        """Whether samples of a network that is trained on `train` can be compared with `reference`.

        Raises:
            ValueError: its images, or what the network would see of them, have another shape.
        """
        if train.encoded or reference.encoded:
            ours, theirs = self.shape_of(train), self.shape_of(reference)
        else:
            ours, theirs = ((s.channels, s.resolution, s.resolution) for s in (train, reference))
        if ours == theirs:
            return
        encoded = ""
        if not train.encoded:
            advice = "data.resolution and data.channels bring both to one, where they lie in files"
        elif reference.encoded:
            advice = "data.reference_latents_path is to name latents of the same shape"
        else:
            encoded, fitting = " are encoded to", reference.resolution * ours[1] / theirs[1]
            advice = f"data.reference_resolution: {fitting:g} makes them as large as those that the latents are of"
        raise ValueError(f"training images have shape {ours}, the reference's{encoded} {theirs}: {advice}")
