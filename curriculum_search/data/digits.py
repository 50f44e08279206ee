"""Handwritten digits that come with scikit-learn: small enough for a search on two cores."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from curriculum_search.data.images import DataSource, ImageSet, MemoryImages


@dataclass(frozen=True, kw_only=True)
class Digits(DataSource):
    """1,797 grey 8x8 digits in 10 classes: the test part of UCI's "Optical Recognition of Handwritten Digits".

    Larger resolutions repeat pixels; they add no detail.  There are too few images to hold some out, so the reference
    is the training images, as is the custom on small sets (FID on CIFAR-10).

    Attributes:
        resolution: pixels a side.
        use_labels: train conditioned on the classes.
    """

    kind: Literal["digits"] = "digits"
    resolution: Literal[8, 16, 32] = 8  # pixels
    use_labels: bool = True

    def __post_init__(self) -> None:
        if self.resolution not in (8, 16, 32):
            raise ValueError(f"resolution of digits must be 8, 16 or 32, not {self.resolution}")

    def check(self) -> None:
        """Find out whether scikit-learn is there."""
        _read()

    def load_images(self) -> ImageSet:
        """uint8 [1797, 1, resolution, resolution] in 17 levels of grey."""
        digits = _read()
        grey = np.round(digits.images[:, None] * (255 / 16)).astype(np.uint8)
        factor = self.resolution // 8
        images = grey.repeat(factor, axis=2).repeat(factor, axis=3)
        labels = digits.target.astype(np.int64) if self.use_labels else None
        return MemoryImages(f"digits {self.resolution}x{self.resolution}", images, labels)


def _read() -> Any:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ValueError(
            "data kind digits needs scikit-learn: pip install 'curriculum-search[search]' or pip install scikit-learn"
        ) from error
    return load_digits()
