"""Image files: finding out what they are, and decoding them."""

import os
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO, Literal
from zipfile import BadZipFile

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from curriculum_search.data.images import Bytes

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
Crop = Literal["none", "center"]
_GREY, _COLOUR = {"1", "L", "LA"}, {"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr"}
_UNREADABLE = (OSError, SyntaxError, ValueError, RuntimeError, BadZipFile, zlib.error, Image.DecompressionBombError)
_DECODED_BYTES = 64 * 2**20  # what a check decodes in full: some seconds' worth
_MAX_PROBLEMS = 5  # named in one message


class ImageFiles(ABC):
    """Named image files that can be opened from any thread.

    Attributes:
        where: the folder or archive, for messages.
        names: of the images, sorted.
        sizes: of the files in bytes, in the same order.
    """

    where: str
    names: Sequence[str]
    sizes: Sequence[int]

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """The file's bytes."""


@dataclass(frozen=True)
class Shape:
    """What every image of a set is, and becomes.

    stored: side in pixels in the file, None where any size is cropped and scaled.
    resolution: side in pixels as read.
    channels: 1 or 3, as read.
    convert: whether grey files may become colour, and colour files grey.
    """

    stored: int | None
    resolution: int
    channels: int
    convert: bool


@dataclass(frozen=True)
class _Header:
    name: str
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    error: str = ""

    @property
    def channels(self) -> int:
        return 1 if self.mode in _GREY else 3


def is_image(path: str) -> bool:
    """Whether a file counts as an image: by its suffix, hidden files and those of macOS archives left out."""
    parts = PurePath(path).parts
    return path.lower().endswith(SUFFIXES) and not any(part.startswith((".", "__MACOSX")) for part in parts)


def first_shape(files: ImageFiles, resolution: int | None, channels: int | None, crop: Crop) -> Shape:
    """The shape of a set by its first file: all that a worker needs, once `check_files` has looked at every file."""
    header = _header(files, files.names[0])
    if header.error:
        raise ValueError(f"{files.where}: {header.error}")
    return _shape(header.size, header.channels, resolution, channels, crop)


def check_files(files: ImageFiles, resolution: int | None, channels: int | None, crop: Crop) -> Shape:
    """Read the header of every file, and decode all of a small set and an even sample of a large one.

    Raises:
        ValueError: naming up to five files that cannot be read, or differ from what most others are, and how.
    """
    share = min(1.0, _DECODED_BYTES / max(1, sum(files.sizes)))
    with ThreadPoolExecutor(num_threads()) as pool:
        headers = list(pool.map(lambda name: _header(files, name), files.names))
        good = [header for header in headers if not header.error]
        problems = [header.error for header in headers if header.error]
        shape = None
        if good:
            # What most files are is right, and the others are named, even if one of them comes first.
            ((size, _),) = Counter(header.size for header in good).most_common(1)
            ((most, _),) = Counter(header.channels for header in good).most_common(1)
            shape = _shape(size, most, resolution, channels, crop)
            problems += [f"{header.name}: {error}" for header in good if (error := _mismatch(header, shape))]
        if shape and not problems:
            sample = [header.name for i, header in enumerate(good) if int((i + 1) * share) > int(i * share)]
            problems += [error for error in pool.map(lambda name: _decoding_error(files, name, shape), sample) if error]
    if problems or shape is None:
        more = f"; and {len(problems) - _MAX_PROBLEMS} more" if len(problems) > _MAX_PROBLEMS else ""
        raise ValueError(f"{files.where}: {'; '.join(problems[:_MAX_PROBLEMS])}{more}")
    return shape


def decode(files: ImageFiles, name: str, shape: Shape) -> Bytes:
    """One image as uint8 [C, H, W]: upright, without transparency, cropped and scaled down to `shape`.

    Transparent pixels become white.  Scaling is PIL's Lanczos, as in EDM's dataset_tool.

    Raises:
        ValueError: naming the file.
    """
    try:
        with files.open(name) as stream, Image.open(stream) as image:
            if error := _mismatch(_Header(name, image.size, image.mode), shape):
                raise ValueError(error)
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            pixels = upright.convert("L" if shape.channels == 1 else "RGB")
            side = min(pixels.size)
            if pixels.width != pixels.height:
                left, top = (pixels.width - side) // 2, (pixels.height - side) // 2
                pixels = pixels.crop((left, top, left + side, top + side))
            if side != shape.resolution:
                pixels = pixels.resize((shape.resolution, shape.resolution), Image.Resampling.LANCZOS)
            array = np.asarray(pixels)
    except _UNREADABLE as error:
        raise ValueError(f"{files.where}: {name}: {_reason(error)}") from error
    return array[None] if shape.channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _header(files: ImageFiles, name: str) -> _Header:
    try:
        with files.open(name) as stream, Image.open(stream) as image:
            size, mode = image.size, image.mode
    except _UNREADABLE as error:
        return _Header(name, error=f"{name}: {_reason(error)}")
    return _Header(name, size, mode)


def _reason(error: Exception) -> str:
    return "not an image" if isinstance(error, UnidentifiedImageError) else str(error)


def _shape(size: tuple[int, int], channels: int, resolution: int | None, wanted: int | None, crop: Crop) -> Shape:
    if crop == "center":
        return Shape(None, resolution or min(size), wanted or channels, wanted is not None)
    return Shape(min(size), resolution or min(size), wanted or channels, wanted is not None)


def _mismatch(header: _Header, shape: Shape) -> str:
    width, height = header.size
    if header.mode not in _GREY | _COLOUR:
        return f"has pixels of mode {header.mode}; only 8 bits a channel can be used"
    if shape.stored is None:
        if min(width, height) < shape.resolution:
            return f"is {width}x{height}, smaller than the resolution {shape.resolution}"
    elif (width, height) != (shape.stored, shape.stored):
        if width == height:
            return f"is {width}x{height} while others are {shape.stored}x{shape.stored}; crop: center takes any size"
        return f"is {width}x{height}, not square; crop: center takes the middle"
    elif shape.stored < shape.resolution:
        return f"is {width}x{height}, smaller than the resolution {shape.resolution}"
    if header.channels != shape.channels and not shape.convert:
        kinds = {1: "grey", 3: "colour"}
        return f"is {kinds[header.channels]} while others are {kinds[shape.channels]}; channels: 1 or 3 converts all"
    return ""


def _decoding_error(files: ImageFiles, name: str, shape: Shape) -> str:
    try:
        decode(files, name, shape)
    except ValueError as error:
        return str(error).removeprefix(f"{files.where}: ")
    return ""


def num_threads() -> int:
    """For decoding, which PIL does without Python's lock."""
    return min(8, os.cpu_count() or 1)
