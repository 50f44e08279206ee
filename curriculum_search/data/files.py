"""Sets of image files, wherever the files lie."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
import PIL

from curriculum_search.caches import kept_in
from curriculum_search.config import changed, later
from curriculum_search.data.decode import Crop, ImageFiles, Shape, check_files, decode, first_shape, num_threads
from curriculum_search.data.decoded import DECODED, Decoded
from curriculum_search.data.images import Bytes, DataSource, ImageSet, Indices, existing
from curriculum_search.data.labels import Labels, find_labels

_SPARE = 0.1  # of a disk, that stays free where the user has not said how much may be taken


@dataclass(frozen=True, kw_only=True)
class FileSource(DataSource):
    """What sources of image files have in common: everything but where the files lie and what belongs to each image.

    Images are square and of one size, or with ``crop: center`` of any size, and are scaled down to `resolution`, never
    up; without a `resolution` they keep their size.  Without `channels` they are all grey or all in colour, with it
    they are converted.  Decoded images are kept, as many as `cache_gib` says, in a file that all processes of a machine
    map, and that the next study finds again.  The reference is the training images unless `reference_path` names
    others.

    Attributes:
        path: where the images lie.
        reference_path: images that generated ones are compared with; None: the training images.
        resolution: pixels a side; None: the images' own.
        channels: 1 for grey, 3 for colour; None: the images' own.
        crop: ``center`` cuts the largest square out of the middle; needs a resolution.
        cache_gib: how much of the decoded images is kept on each machine, in GiB on its disk; None: one GiB, and more
            while a tenth of that disk stays free.
        decoded_path: folder in which they are kept, best on a disk of the machine itself; None: the cache.
    """

    path: str
    reference_path: str | None = None
    resolution: int | None = None  # pixels
    channels: Literal[1, 3] | None = None
    crop: Crop = "none"
    cache_gib: float | None = changed(None, 1.0)
    decoded_path: str | None = later(None)

    def __post_init__(self) -> None:
        if self.resolution is not None and self.resolution < 1:
            raise ValueError(f"resolution must be at least 1, not {self.resolution}")
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels must be 1, 3 or null, not {self.channels}")
        if self.crop not in ("none", "center"):
            raise ValueError(f"crop must be none or center, not {self.crop}")
        if self.crop == "center" and self.resolution is None:
            raise ValueError("crop: center needs a resolution")
        if self.cache_gib is not None and not self.cache_gib >= 0:
            raise ValueError(f"cache_gib must not be negative, not {self.cache_gib}")

    @property
    def where(self) -> str:
        """The paths of the training and the reference images."""
        return ", ".join(filter(None, (self.path, self.reference_path)))

    def stamp(self) -> str:
        """What `path_stamp` says of the training and the reference images."""
        return " ".join(self.path_stamp(existing(path)) for path in (self.path, self.reference_path) if path)

    def path_stamp(self, path: Path) -> str:
        """Changes when the files under `path` do."""
        raise NotImplementedError

    def open_files(self) -> ImageFiles:
        """The files under `path`.

        Raises:
            ValueError, FileNotFoundError: naming the file and what is wrong with it.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Look at the conditions and the header of every image, and decode some of them (see `check_files`)."""
        with _naming("path"):
            shape = self._check()
        if self.reference_path is not None:
            with _naming("reference_path"):
                other = self.reference_source(shape.resolution)._check()
                if other.channels != shape.channels:
                    raise ValueError(
                        f"{self.reference_path}: {other.channels} channels, while path has {shape.channels}"
                    )

    def load_images(self) -> ImageSet:
        """The images, decoded when they are read."""
        files = self.open_files()
        return self.image_set(files, first_shape(files, self.resolution, self.channels, self.crop))

    def reference_images(self) -> ImageSet:
        """The images of `reference_path`, at the resolution of the training images."""
        train = self.load()
        return train if self.reference_path is None else self.reference_source(train.resolution).load_images()

    def reference_source(self, resolution: int) -> Self:
        """The source of the reference images, at a resolution in pixels."""
        assert self.reference_path is not None
        return replace(self, path=self.reference_path, reference_path=None, resolution=resolution)

    def check_conditions(self, files: ImageFiles) -> None:
        """Find out whether what belongs to the images is there.

        Raises:
            ValueError, FileNotFoundError: naming the file and what is wrong with it.
        """
        raise NotImplementedError

    def image_set(self, files: ImageFiles, shape: Shape) -> "FileImages":
        """The images in `files`, with what belongs to each."""
        raise NotImplementedError

    def set_name(self, shape: Shape) -> str:
        """What the set is called."""
        return f"{Path(self.path).stem} {shape.resolution}x{shape.resolution}"

    def decoded(self, files: ImageFiles, shape: Shape) -> Decoded:
        """What is kept of the decoded images; other files, another shape or another decoder are in another file."""
        row = (shape.channels, shape.resolution, shape.resolution)
        count = len(files.names)
        if self.cache_gib is not None:
            count = min(count, int(self.cache_gib * 2**30) // int(np.prod(row)))
        digest = hashlib.sha256(f"{files.fingerprint} {shape} {count} {PIL.__version__}".encode()).hexdigest()[:16]
        path = self.kept / f"{Path(self.path).stem}-{digest}.images"
        return Decoded(path, count, row, spare=_SPARE if self.cache_gib is None else 0.0)

    @property
    def kept(self) -> Path:
        """The folder of what is kept on this machine."""
        return kept_in(self.decoded_path, DECODED)

    def _check(self) -> Shape:
        files = self.open_files()
        self.check_conditions(files)
        return check_files(files, self.resolution, self.channels, self.crop)


@dataclass(frozen=True, kw_only=True)
class LabelledFileSource(FileSource):
    """What `folder` and `zip` have in common.

    Attributes:
        use_labels: train conditioned on the classes, where there are labels.
    """

    use_labels: bool = True

    def check_conditions(self, files: ImageFiles) -> None:
        """Look at the labels."""
        if self.use_labels:
            self.labels_of(files)

    def labels_of(self, files: ImageFiles) -> Labels | None:
        """The labels that come with image files, None where there are none.

        Raises:
            ValueError: an image has none, while others have.
        """
        return find_labels(files)

    def image_set(self, files: ImageFiles, shape: Shape) -> "FileImages":
        """The images, with their classes where there are labels."""
        labels = self.labels_of(files) if self.use_labels else None
        digest = hashlib.sha256(f"{files.fingerprint} {shape}".encode())
        digest.update(b"" if labels is None else labels.values.tobytes())
        return FileImages(
            self.set_name(shape),
            files,
            shape,
            labels,
            fingerprint=digest.hexdigest()[:16],
            decoded=self.decoded(files, shape),
        )


@contextmanager
def _naming(field: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{field}: {error}") from error


class FileImages(ImageSet):
    """Images that are decoded when they are read, by a pool of threads, and those kept of which `decoded` has room."""

    def __init__(
        self,
        name: str,
        files: ImageFiles,
        shape: Shape,
        labels: Labels | None,
        *,
        fingerprint: str,
        decoded: Decoded,
    ) -> None:
        super().__init__(
            name=name,
            length=len(files.names),
            channels=shape.channels,
            resolution=shape.resolution,
            labels=None if labels is None else labels.values,
            fingerprint=fingerprint,
            class_names=() if labels is None else labels.names,
            skipped=files.skipped,
        )
        self._files = files
        self._shape = shape
        self._pool = ThreadPoolExecutor(num_threads(), thread_name_prefix="decode")
        # The first so many images are kept: in shuffled epochs no image is likelier to be needed than another.
        self._decoded = decoded

    @property
    def summary(self) -> str:
        """See `ImageSet.summary`; and how many images are decoded again whenever they are read, if any."""
        kept, size = len(self._decoded) / len(self), self.num_bytes / 2**30
        if kept == 1:
            return super().summary
        return f"{super().summary}; {100 * kept:.0f} % are kept decoded, all would take {size:.2g} GiB (cache_gib)"

    @property
    def decoding(self) -> tuple[int, int] | None:
        """See `ImageSet.decoding`."""
        return (self._decoded.there(), len(self._decoded)) if len(self._decoded) else None

    @property
    def at_hand(self) -> bool:
        """See `ImageSet.at_hand`: whether every image has been decoded and kept."""
        return len(self._decoded) == len(self) == self._decoded.there()

    def _read(self, indices: Indices) -> Bytes:
        if (rows := self._decoded.rows(indices)) is not None:
            return rows
        return np.stack(list(self._pool.map(self._image, indices.tolist())))

    def _image(self, index: int) -> Bytes:
        image = self._decoded.get(index)
        if image is None:
            image = decode(self._files, index, self._shape)
            self._decoded.put(index, image)
        return image
