"""What turns images into the features that distances are taken between."""

import dataclasses
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.conditions import Condition
from curriculum_search.config import Config, Kinded
from curriculum_search.data import ImageSet
from curriculum_search.models.encoders import PIXELS, Encoder


class Features(ABC):
    """A loaded extractor: a function from images to features.

    Attributes:
        dimension: number of features.
        num_classes: number of class probabilities, 0 where there are none.
        num_captions: number of captions that an image is compared with, 0 where it is not.
        checksum: changes when the features do; part of the name under which reference statistics are cached.
        words: the extractor for the words of a protocol.
    """

    dimension: int
    num_classes: int = 0
    num_captions: int = 0
    checksum: str
    words: str

    @abstractmethod
    def __call__(self, images: Tensor) -> Tensor:
        """Features float32 [B, dimension] of images uint8 [B, C, H, W], on the images' device.

        Where its extractor is `of_latents`, it is given what the network sees instead, float32 [B, C, H, W].
        """

    def stored(self, images: ImageSet, indices: NDArray[np.int64]) -> Tensor:
        """What a call is given of the images at `indices` of a set."""
        return images.stored(indices)

    def with_probabilities(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features, and the class probabilities p(y|x) float32 [B, classes] that belong to them.

        Raises:
            ValueError: this extractor tells no classes.
        """
        raise ValueError(f"{self.words} tells no classes")

    def similarities(self, features: Tensor, condition: Condition) -> Tensor:
        """How alike images are to captions, float32 [B, num_captions], in [-1, 1]: first their own, then others.

        Args:
            features: what a call gave for the images.
            condition: what they were made for.

        Raises:
            ValueError: this extractor knows no captions.
        """
        raise ValueError(f"{self.words} knows no captions")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """What an extractor may look at when it is loaded.

    Attributes:
        train: the training images, for one that learns from their labels.
        reference: the images that evaluation compares with.
        device: where images will be.
        cache_dir: where downloads and whatever was learned are kept.
        encoder: what the network sees of the images.
    """

    train: ImageSet
    reference: ImageSet
    device: torch.device
    cache_dir: Path
    encoder: Encoder = PIXELS


class Extractor(Kinded):
    """A way to get features, by which metrics are named: ``fd_<label>_<samples>``."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The extractor's part of a metric's name."""

    @property
    def tells_classes(self) -> bool:
        """Whether `Features.with_probabilities` works, which the Inception Score needs."""
        return False

    @property
    def knows_captions(self) -> bool:
        """Whether `Features.similarities` works, which image-text scores need."""
        return False

    @property
    def of_latents(self) -> bool:
        """Whether it looks at what the network sees and not at images, so that nothing has to decode samples."""
        return False

    @abstractmethod
    def dimension(self, reference: ImageSet) -> int:
        """Number of features for images like `reference`, known without loading weights where possible."""

    @abstractmethod
    def check(self, train: ImageSet, reference: ImageSet) -> None:
        """Quickly find what would make `load` fail.

        Raises:
            ValueError, FileNotFoundError: what is missing or does not fit, and what to do.
        """

    @abstractmethod
    def load(self, sources: Sources) -> Features:
        """Load, download or train; every worker must call it.

        Raises:
            ValueError, FileNotFoundError: see `check`.
        """


def describe(config: Config) -> str:
    """A configurable part in words: ``ddim(num_steps=10, eta=0.0)``."""
    fields: dict[str, Any] = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    kind = fields.pop("kind", type(config).__name__)
    return f"{kind}({', '.join(f'{name}={value}' for name, value in fields.items())})"


def as_rgb(images: Tensor) -> Tensor:
    """[B, 1, H, W] repeated to three equal channels; [B, 3, H, W] as it is."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def share_from_first(tensors: list[Tensor], device: torch.device) -> list[Tensor]:
    """The first worker's `tensors`, on `device`, for every worker.

    What is learned in float arithmetic may differ between machines that do not share a cache: eigenvectors in sign,
    weights in the last digits.  Statistics that are summed over workers need the very same features.
    """
    mine = [t.to(device) if distributed.rank() == 0 else torch.zeros_like(t, device=device) for t in tensors]
    return [distributed.all_reduce_sum(t) for t in mine]
