"""Images in a NumPy file."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from curriculum_search.data.array_file import array_file
from curriculum_search.data.images import Bytes, DataSource, ImageSet, MemoryImages, content_hash, existing, file_stamp


@dataclass(frozen=True, kw_only=True)
class Array(DataSource):
    """Images in a ``.npz`` or ``.npy`` file: uint8, [N, H, W, C], [N, C, H, W] or, grey, [N, H, W]; square.

    An ``.npz`` has the images under ``images``, ``arr_0`` (as the sample files of guided-diffusion) or another of
    `array_file.IMAGE_NAMES`, and labels, if any, under ``labels``, ``arr_1`` or another of `array_file.LABEL_NAMES`, or
    in a file of their own, `labels_path`.  An ``.npy`` is mapped, not read, so that it may be larger than the memory.
    With a `resolution`, images are averaged down to it.  The reference is
    the training images unless `reference_path` names others.

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
        labels = None
        with array_file(path) as file:
            images = _scaled(file.images(), self.resolution)
            inside = self.use_labels and self.labels_path is None
            if inside:
                labels = file.labels(len(images))
            skipped = file.others(use_labels=inside)
        if self.use_labels and self.labels_path is not None:
            with array_file(existing(self.labels_path)) as file:
                labels = file.labels_alone(len(images))
        # Hashing a mapped array would read all of it.
        mapped = isinstance(images, np.memmap)
        fingerprint = content_hash(np.frombuffer(self.stamp().encode(), np.uint8), labels) if mapped else ""
        name = f"{path.stem} {images.shape[2]}x{images.shape[2]}"
        return MemoryImages(name, images, labels, fingerprint, skipped)

    def reference_images(self) -> ImageSet:
        """The images of `reference_path`, at the resolution of the training images."""
        train = self.load()
        return train if self.reference_path is None else self._reference_source(train.resolution).load_images()

    def _reference_source(self, resolution: int) -> "Array":
        assert self.reference_path is not None
        return replace(self, path=self.reference_path, labels_path=None, reference_path=None, resolution=resolution)


def _scaled(images: Bytes, resolution: int | None) -> Bytes:
    stored = images.shape[2]
    if resolution in (None, stored):
        return images
    if stored % resolution:
        raise ValueError(f"resolution {resolution} does not divide the images' {stored}")
    num_images, channels, factor = *images.shape[:2], stored // resolution
    scaled = np.empty((num_images, channels, resolution, resolution), np.uint8)
    for start in range(0, num_images, 1024):  # as float64 the whole would take eight times its memory
        part = images[start : start + 1024].reshape(-1, channels, resolution, factor, resolution, factor)
        scaled[start : start + 1024] = np.round(part.mean(axis=(3, 5)))
    return scaled
