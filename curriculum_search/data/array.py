"""Images in a NumPy file."""

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from curriculum_search.data.array_file import array_file
from curriculum_search.data.array_store import ArrayStore
from curriculum_search.data.images import Bytes, DataSource, ImageSet, MemoryImages, content_hash, existing, file_stamp


@dataclass(frozen=True, kw_only=True)
class Array(DataSource):
    """Images in a ``.npz`` or ``.npy`` file: uint8, [N, H, W, C], [N, C, H, W] or, grey, [N, H, W]; square.

    An ``.npz`` has the images under ``images``, ``arr_0`` (as the sample files of guided-diffusion) or another of
    `array_file.IMAGE_NAMES`, and labels, if any, under ``labels``, ``arr_1`` or another of `array_file.LABEL_NAMES`, or
    in a file of their own, `labels_path`.  An ``.npy`` and the images of an ``.npz`` that is not compressed are mapped,
    not read, so that they may be larger than the memory.  With a `resolution`, images are averaged down to it, once on
    each machine, into a file of the cache that is mapped.  The reference is the training images unless `reference_path`
    names others.

    Attributes:
        path: the file of the images.
        labels_path: a file of the labels; None: those in the file of the images, if any.
        reference_path: images that generated ones are compared with; None: the training images.
        resolution: pixels a side, a divisor of the stored ones; None: as stored.
        use_labels: train conditioned on the classes, where there are labels.
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

    @property
    def where(self) -> str:
        """The paths of the training and the reference images."""
        return ", ".join(filter(None, (self.path, self.reference_path)))

    def stamp(self) -> str:
        """Sizes and times of change of the files."""
        return " ".join(file_stamp(existing(p)) for p in (self.path, self.labels_path, self.reference_path) if p)

    def check(self) -> None:
        """Load everything, and read an archive of arrays through: only that finds what is damaged in it."""
        for path in filter(None, (self.path, self.labels_path, self.reference_path)):
            _check_sums(existing(path))
        train = self.load_images()
        if self.reference_path is not None:
            reference = self._reference_source(train.resolution).load_images()
            if reference.channels != train.channels:
                channels = f"{reference.channels} channels, while path has {train.channels}"
                raise ValueError(f"reference_path: {self.reference_path} has {channels}")

    def load_images(self) -> ImageSet:
        """All images, scaled to the resolution."""
        path = existing(self.path)
        labels = None
        store = ArrayStore(path, file_stamp(path))
        with array_file(path) as file:
            stored = file.images()
            images = self._scaled(stored, store)
            inside = self.use_labels and self.labels_path is None
            if inside:
                labels = file.labels(len(images))
            skipped = file.others(use_labels=inside)
        if self.use_labels and self.labels_path is not None:
            with array_file(existing(self.labels_path)) as file:
                labels = file.labels_alone(len(images))
        if path.suffix == ".npy" and images is stored:  # Hashing it would read all of it.
            fingerprint = content_hash(np.frombuffer(self.stamp().encode(), np.uint8), labels)
        else:
            fingerprint = store.hash(images, labels)
        name = f"{path.stem} {images.shape[2]}x{images.shape[2]}"
        return MemoryImages(name, images, labels, fingerprint, skipped)

    def reference_images(self) -> ImageSet:
        """The images of `reference_path`, at the resolution of the training images."""
        train = self.load()
        return train if self.reference_path is None else self._reference_source(train.resolution).load_images()

    def _reference_source(self, resolution: int) -> "Array":
        assert self.reference_path is not None
        return replace(self, path=self.reference_path, labels_path=None, reference_path=None, resolution=resolution)

    def _scaled(self, images: Bytes, store: ArrayStore) -> Bytes:
        stored = images.shape[2]
        if self.resolution in (None, stored):
            return images
        if stored % self.resolution:
            raise ValueError(f"resolution {self.resolution} does not divide the images' {stored}")
        return store.scaled(images, self.resolution)


def _check_sums(path: Path) -> None:
    """Raises ValueError where a member of an archive is damaged; what is no archive at all is found elsewhere."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            try:
                damaged = archive.testzip()
            except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                raise ValueError(f"{path}: {error}") from error
        if damaged is not None:
            raise ValueError(f"{path}: {damaged} is damaged: its checksum is another")
