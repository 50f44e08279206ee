"""Images in a NumPy file."""

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from curriculum_search.data.images import (
    Bytes,
    DataSource,
    ImageSet,
    Indices,
    MemoryImages,
    content_hash,
    existing,
    file_stamp,
)


@dataclass(frozen=True, kw_only=True)
class Array(DataSource):
    """Images in a ``.npz`` or ``.npy`` file: uint8, [N, H, W, C], [N, C, H, W] or, grey, [N, H, W]; square.

    An ``.npz`` has the images under ``images`` or ``arr_0``, and labels, if any, under ``labels`` or ``arr_1`` (as the
    sample files of guided-diffusion).  An ``.npy`` is mapped, not read, so that it may be larger than the memory; its
    labels are in another file, `labels_path`.  With a `resolution`, images are averaged down to it.  The reference is
    the training images unless `reference_path` names others.
    """

    kind: Literal["array"] = "array"
    path: str
    labels_path: str | None = None
    reference_path: str | None = None
    resolution: int | None = None  # pixels; divides the stored one
    use_labels: bool = True

    def __post_init__(self) -> None:
        if self.resolution is not None and self.resolution < 1:
            raise ValueError(f"resolution must be at least 1, not {self.resolution}")

    def stamp(self) -> str:
        """Sizes and times of change of the files."""
        return " ".join(file_stamp(existing(p)) for p in (self.path, self.labels_path, self.reference_path) if p)

    def check(self) -> None:
        """Read everything once: NumPy files are quick to read, and only reading finds a truncated one."""
        train = self.load_images()
        if self.reference_path is not None:
            reference = self._reference_source(train.resolution).load_images()
            if reference.channels != train.channels:
                channels = f"{reference.channels} channels, while path has {train.channels}"
                raise ValueError(f"reference_path: {self.reference_path} has {channels}")

    def load_images(self) -> ImageSet:
        """All images, scaled to the resolution."""
        path = existing(self.path)
        images, labels = _read(path)
        if self.labels_path is not None:
            labels, _ = _read(existing(self.labels_path))
        images = _scaled(str(path), _as_nchw(str(path), images), self.resolution)
        mapped = isinstance(images, np.memmap)
        checked = None
        if labels is not None and self.use_labels:
            checked = _as_labels(str(self.labels_path or path), labels, len(images))
        # Hashing a mapped array would read all of it.
        fingerprint = content_hash(np.frombuffer(self.stamp().encode(), np.uint8), checked) if mapped else ""
        return MemoryImages(f"{path.stem} {images.shape[2]}x{images.shape[2]}", images, checked, fingerprint)

    def reference_images(self) -> ImageSet:
        """The images of `reference_path`, at the resolution of the training images."""
        train = self.load()
        return train if self.reference_path is None else self._reference_source(train.resolution).load_images()

    def _reference_source(self, resolution: int) -> "Array":
        assert self.reference_path is not None
        return replace(self, path=self.reference_path, labels_path=None, reference_path=None, resolution=resolution)


def _read(path: Path) -> tuple[Any, Any]:
    """The arrays of images and of labels (or None) in a file, as they are."""
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, None
        with loaded:
            image_key = next((key for key in ("images", "arr_0") if key in loaded), None)
            if image_key is None:
                raise ValueError(f"no array named images or arr_0, only {', '.join(loaded.files) or 'nothing'}")
            label_key = "labels" if image_key == "images" else "arr_1"
            return loaded[image_key], loaded.get(label_key)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: {error}") from error


def _as_nchw(where: str, array: Any) -> Bytes:
    if array.dtype != np.uint8:
        raise ValueError(f"{where}: images must be uint8 in 0..255, not {array.dtype}")
    shape = array.shape
    if len(shape) == 3:
        array = array[:, None]
    elif len(shape) == 4 and shape[3] in (1, 3) and shape[1] == shape[2]:
        array = array.transpose(0, 3, 1, 2)
    elif not (len(shape) == 4 and shape[1] in (1, 3)):
        raise ValueError(f"{where}: images must be [N, H, W, C] or [N, C, H, W] with C 1 or 3, not {list(shape)}")
    if len(array) == 0:
        raise ValueError(f"{where}: no image in it")
    if array.shape[2] != array.shape[3]:
        raise ValueError(f"{where}: images must be square, not {array.shape[2]}x{array.shape[3]}")
    return array  # type: ignore[no-any-return]


def _scaled(where: str, images: Bytes, resolution: int | None) -> Bytes:
    stored = images.shape[2]
    if resolution in (None, stored):
        return images
    if stored % resolution:
        raise ValueError(f"{where}: resolution {resolution} does not divide the images' {stored}")
    num_images, channels, factor = *images.shape[:2], stored // resolution
    scaled = np.empty((num_images, channels, resolution, resolution), np.uint8)
    for start in range(0, num_images, 1024):  # as float64 the whole would take eight times its memory
        part = images[start : start + 1024].reshape(-1, channels, resolution, factor, resolution, factor)
        scaled[start : start + 1024] = np.round(part.mean(axis=(3, 5)))
    return scaled


def _as_labels(where: str, labels: Any, num_images: int) -> Indices:
    if labels.shape != (num_images,):
        raise ValueError(f"{where}: labels must be [{num_images}], one for each image, not {list(labels.shape)}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{where}: labels must be integers, not {labels.dtype}")
    if labels.min() < 0:
        raise ValueError(f"{where}: labels must not be negative: image {int(labels.argmin())} has {labels.min()}")
    return labels.astype(np.int64)  # type: ignore[no-any-return]
