"""Image files: finding out what they are, and decoding them."""

import os
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Literal
from zipfile import BadZipFile

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from curriculum_search.data.images import Bytes, listed

SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm"),
    *(".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp"),
)
FOREIGN_SUFFIXES = (".heic", ".heif", ".jxl")  # photographs that Pillow does not read
Crop = Literal["none", "center"]
_GREY, _COLOUR = {"1", "L", "LA"}, {"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr"}
_UNREADABLE = (OSError, SyntaxError, ValueError, RuntimeError, BadZipFile, zlib.error, Image.DecompressionBombError)
_DECODED_BYTES = 64 * 2**20  # what a check decodes in full: some seconds' worth
_MAX_PROBLEMS = 5  # named in one message


class ImageFiles(ABC):
    """Named image files that can be opened from any thread.

    Attributes:
        where: the folder or archive, for messages.
        names: of the images, in an order of their own, mostly sorted, with / between folders.
        num_bytes: of all the images' files.
        folders: all that there are, also without images.
        documents: the files that EDM's dataset_tool would have written the labels to, sorted.
        skipped: what is no image: kinds of files by how many there are.
        fingerprint: changes when the images do.
    """

    where: str
    names: Sequence[str]
    num_bytes: int
    folders: Sequence[str]
    documents: Sequence[str]
    skipped: Mapping[str, int]
    fingerprint: str

    @abstractmethod
    def open(self, index: int) -> BinaryIO:
        """The bytes of an image's file, by its place among the `names`."""

    def open_document(self, name: str) -> BinaryIO:
        """The bytes of one of the `documents`, where there may be some."""
        raise NotImplementedError

    def has_read(self, *suffixes: str) -> None:
        """Take files that belong to the images, such as captions, out of what was skipped."""
        self.skipped = {kind: count for kind, count in self.skipped.items() if kind not in suffixes}

    def read_document(self, name: str, limit: int) -> bytes:
        """At most `limit` bytes of one of the `documents`.

        Raises:
            ValueError: naming the file.
        """
        try:
            with self.open_document(name) as stream:
                return stream.read(limit)
        except _UNREADABLE as error:
            raise ValueError(f"{self.where}: {name}: {_reason(error)}") from error


@dataclass(frozen=True)
class Listing:
    """What a folder or archive holds, by its names.

    images: names, sorted.
    folders: names of all folders that are not hidden, sorted.
    documents: those called like EDM's labels, whatever their case, sorted.
    skipped: suffix of the others (or "hidden") to how many there are, the most frequent first.
    """

    images: Sequence[str]
    folders: Sequence[str]
    documents: Sequence[str]
    skipped: Mapping[str, int]


def sorted_out(where: str, names: Iterable[str], document: str) -> Listing:
    """Tell images from labels and from the rest: by their suffix, hidden files and those of macOS archives left out.

    Args:
        where: the folder or archive, for messages.
        names: of files, and of folders, which end in a slash.
        document: the name of a file of labels, in small letters.

    Raises:
        ValueError: there is no image, or there are photographs that cannot be read.
    """
    images, documents, skipped, foreign = [], [], Counter[str](), []
    folders = set[str]()
    for name in sorted(names):
        # No PurePath: it would have Python remember the parts of every name.
        parts, is_folder = [part for part in name.split("/") if part not in ("", ".")], name.endswith("/")
        if any(part.startswith((".", "__MACOSX")) for part in parts):
            skipped["hidden"] += not is_folder
            continue
        last = parts.pop() if parts and not is_folder else ""
        root = "/" if name.startswith("/") else ""
        while parts and (folder := root + "/".join(parts)) not in folders:
            folders.add(folder)
            parts.pop()
        if is_folder:
            continue
        stem, _, ending = last.rpartition(".")
        suffix = f".{ending.lower()}" if stem and ending else ""
        if suffix in SUFFIXES:
            images.append(name)
        elif last.lower() == document:
            documents.append(name)
        else:
            skipped[suffix or "no suffix"] += 1
            foreign += [name] if suffix in FOREIGN_SUFFIXES else []
    if foreign:
        raise ValueError(
            f"{where}: {len(foreign)} images cannot be read, {foreign[0]} the first; convert them to PNG or JPEG"
        )
    if not images:
        others = f"; passed over: {listed(skipped.most_common())}" if +skipped else ""
        raise ValueError(f"{where}: no image in it ({' '.join(SUFFIXES)}){others}")
    return Listing(images, sorted(folders), documents, dict((+skipped).most_common()))


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
    index: int
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    error: str = ""

    @property
    def channels(self) -> int:
        return 1 if self.mode in _GREY else 3


def first_shape(files: ImageFiles, resolution: int | None, channels: int | None, crop: Crop) -> Shape:
    """The shape of a set by its first file: all that a worker needs, once `check_files` has looked at every file."""
    header = _header(files, 0)
    if header.error:
        raise ValueError(f"{files.where}: {header.error}")
    return _shape(header.size, header.channels, resolution, channels, crop)


def check_files(files: ImageFiles, resolution: int | None, channels: int | None, crop: Crop) -> Shape:
    """Read the header of every file, and decode all of a small set and an even sample of a large one.

    Raises:
        ValueError: naming up to five files that cannot be read, or differ from what most others are, and how.
    """
    share = min(1.0, _DECODED_BYTES / max(1, files.num_bytes))
    with ThreadPoolExecutor(num_threads()) as pool:
        headers = list(pool.map(lambda index: _header(files, index), range(len(files.names))))
        good = [header for header in headers if not header.error]
        problems = [header.error for header in headers if header.error]
        shape = None
        if good:
            # What most files are is right, and the others are named, even if one of them comes first.
            ((size, _),) = Counter(header.size for header in good).most_common(1)
            ((most, _),) = Counter(header.channels for header in good).most_common(1)
            shape = _shape(size, most, resolution, channels, crop)
            wrong = ((header.index, error) for header in good if (error := _mismatch(header, shape)))
            problems += [f"{files.names[index]}: {error}" for index, error in wrong]
        if shape and not problems:
            sample = [header.index for i, header in enumerate(good) if int((i + 1) * share) > int(i * share)]
            problems += filter(None, pool.map(lambda index: _decoding_error(files, index, shape), sample))
    if problems or shape is None:
        more = f"; and {len(problems) - _MAX_PROBLEMS} more" if len(problems) > _MAX_PROBLEMS else ""
        raise ValueError(f"{files.where}: {'; '.join(problems[:_MAX_PROBLEMS])}{more}")
    return shape


def decode(files: ImageFiles, index: int, shape: Shape) -> Bytes:
    """One image as uint8 [C, H, W]: upright, without transparency, cropped and scaled down to `shape`.

    It is the one at `index` among the names.  Transparent pixels become white.  Scaling is PIL's Lanczos, as in EDM's
    dataset_tool.

    Raises:
        ValueError: naming the file.
    """
    try:
        with files.open(index) as stream, Image.open(stream) as image:
            if error := _mismatch(_Header(index, image.size, image.mode), shape):
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
        raise ValueError(f"{files.where}: {files.names[index]}: {_reason(error)}") from error
    return array[None] if shape.channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _header(files: ImageFiles, index: int) -> _Header:
    try:
        with files.open(index) as stream, Image.open(stream) as image:
            size, mode = image.size, image.mode
    except _UNREADABLE as error:
        return _Header(index, error=f"{files.names[index]}: {_reason(error)}")
    return _Header(index, size, mode)


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


def _decoding_error(files: ImageFiles, index: int, shape: Shape) -> str:
    try:
        decode(files, index, shape)
    except ValueError as error:
        return str(error).removeprefix(f"{files.where}: ")
    return ""


def num_threads() -> int:
    """For decoding, which PIL does without Python's lock."""
    return min(8, os.cpu_count() or 1)
