"""Handwritten digits that come with scikit-learn: small enough for a search on two cores."""

import gzip
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curriculum_search.data.images import DataSource, ImageSet, MemoryImages

_FILE = "datasets/data/digits.csv.gz"  # in scikit-learn


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
        grey = np.round(digits[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
        factor = self.resolution // 8
        images = grey.repeat(factor, axis=2).repeat(factor, axis=3)
        labels = digits[:, -1].astype(np.int64) if self.use_labels else None
        return MemoryImages(f"digits {self.resolution}x{self.resolution}", images, labels)


def _read() -> NDArray[np.float64]:
    """Of each digit its 64 pixels in 0..16, then its class, as scikit-learn's file has them.

    Importing scikit-learn takes as long as importing torch, and each process of a study would have to.
    """
    found = find_spec("sklearn")
    file = Path(found.origin).parent / _FILE if found and found.origin else Path("nowhere")
    if not file.is_file():
        raise ValueError(
            "data kind digits needs scikit-learn: pip install 'curriculum-search[search]' or pip install scikit-learn"
        )
    with gzip.open(file, "rt") as lines:
        return np.loadtxt(lines, delimiter=",")
