"""What an image source gives: images that lie ready, or lie in files, behind one interface."""

import hashlib
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curriculum_search.conditions import Classes, Condition, Conditions, Unconditioned
from curriculum_search.config import Kinded

Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]
_HASHED_AT_ONCE = 1024  # images


def to_float(images: Tensor) -> Tensor:
    """uint8 [B, C, H, W] in 0..255 as float32 in [-1, 1]: x / 127.5 - 1."""
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """The inverse of `to_float`, rounded to the nearest value and clipped: float [B, C, H, W] as uint8."""
    return images.detach().to(torch.float32).add(1.0).mul_(127.5).round_().clamp_(0.0, 255.0).to(torch.uint8)


class ImageSet(ABC):
    """A finite, ordered set of square images of one size, and what each is conditioned on.

    Reading is deterministic and may be done from several threads.  A set is not sent between processes: what is sent
    is the `DataSource`, from which every worker builds its own.

    Attributes:
        name: for figures, logs and the words of a protocol.
        resolution: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        num_classes: number of classes, 0 when the set has no labels.
        labels: int64 [N], or None when the set has no labels.
        fingerprint: changes when the images do; the same on every machine that sees the same files.
        class_names: where classes have names.
        skipped: what lay beside the images and was not read: kinds of things to how many there are.
        encoded: whether it has an autoencoder's latents of the images in their place.
        in_memory: whether all of it lies in memory, or is mapped there.
    """

    encoded: ClassVar[bool] = False
    in_memory: bool = False

    def __init__(
        self,
        *,
        name: str,
        length: int,
        channels: int,
        resolution: int,
        labels: Indices | None,
        fingerprint: str,
        class_names: Sequence[str] = (),
        skipped: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.resolution = resolution
        self.channels = channels
        self.labels = labels
        self.num_classes = 0 if labels is None else int(labels.max()) + 1
        self.fingerprint = fingerprint
        self.class_names = tuple(class_names)
        self.skipped = skipped
        self._length = length

    def __len__(self) -> int:
        return self._length

    @property
    def summary(self) -> str:
        """What was found, in one line: images, classes and what was passed over, with counts."""
        size = f"{self.resolution}x{self.resolution}"
        parts = [f"{self.name}: {len(self):,} {'grey' if self.channels == 1 else 'colour'} images of {size} pixels"]
        parts.append(self.conditions.words)
        if self.skipped:
            parts.append(f"passed over: {listed(self.skipped.items())}")
        return "; ".join(parts)

    @cached_property
    def conditions(self) -> Conditions:
        """What the images are conditioned on: their classes, where they have labels."""
        return Unconditioned() if self.labels is None else Classes(self.labels, self.class_names)

    @property
    def decoding(self) -> tuple[int, int] | None:
        """How many images are decoded and kept on this machine by now, and how many will be; None: none are."""
        return None

    @property
    def at_hand(self) -> bool:
        """Whether all of it can be read as it is by now: it lies in memory, is mapped, or has been decoded."""
        return self.in_memory

    @property
    def num_bytes(self) -> int:
        """The size of all images as uint8."""
        return self._length * self.channels * self.resolution**2

    def read(self, indices: Indices, draws: NDArray[np.uint64] | None = None) -> tuple[Tensor, Condition]:
        """The images at `indices` (int64 [B]): uint8 [B, C, H, W] on the CPU, and their condition there.

        What `encoded` sets give in place of images, the encoder understands (see `LatentSet`).

        Args:
            indices: of the images.
            draws: in the training, what decides among several conditions of one image (see `Conditions.drawn`).
        """
        conditions = self.conditions
        condition = conditions.of(indices) if draws is None else conditions.drawn(indices, draws)
        return self.stored(indices), condition

    def stored(self, indices: Indices) -> Tensor:
        """What `read` gives of the images at `indices`, without their condition."""
        return torch.from_numpy(self._read(indices))

    @abstractmethod
    def _read(self, indices: Indices) -> NDArray[Any]: ...


class MemoryImages(ImageSet):
    """Images that lie in one array (in memory, or mapped from a file)."""

    in_memory = True

    def __init__(
        self,
        name: str,
        images: Bytes,
        labels: Indices | None,
        fingerprint: str = "",
        skipped: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """`images` is uint8 [N, C, H, W]; without a `fingerprint` their content is hashed."""
        super().__init__(
            name=name,
            length=len(images),
            channels=images.shape[1],
            resolution=images.shape[2],
            labels=labels,
            fingerprint=fingerprint or content_hash(images, labels),
            skipped=skipped,
        )
        self.images = images

    def _read(self, indices: Indices) -> Bytes:
        return np.ascontiguousarray(self.images[indices])


class DataSource(Kinded):
    """Where images come from: a small config, from which each worker builds the same `ImageSet`.

    A member defines `check`, `stamp` and `load_images`, and `reference_images` where evaluation compares with something
    else than the training images.
    """

    _loaded: ClassVar["OrderedDict[tuple[Any, ...], ImageSet]"] = OrderedDict()

    @property
    def where(self) -> str:
        """Where the images lie, for messages: here the kind of data that come with a package."""
        return str(getattr(self, "kind", type(self).__name__))

    def load(self) -> ImageSet:
        """The training images.  A process that asks again, as the next trial in a reused actor does, gets the same set.

        Raises:
            ValueError, FileNotFoundError: naming the file and what is wrong with it.
        """
        return self._remembered("train", self.load_images)

    def reference(self) -> ImageSet:
        """What evaluation compares with: images held out where there are such, else the training images."""
        return self._remembered("reference", self.reference_images)

    def check(self) -> None:
        """Quickly find what would fail later.

        Raises:
            ValueError, FileNotFoundError: naming the file and what is wrong with it.
        """
        raise NotImplementedError

    def summary(self) -> str:
        """What was found, in one line (see `ImageSet.summary`): training images, and the reference if it is others."""
        train, reference = self.load(), self.reference()
        return train.summary if reference is train else f"{train.summary} | reference {reference.summary}"

    def stamp(self) -> str:
        """Changes when the files behind the source do; empty for data that come with a package."""
        return ""

    def load_images(self) -> ImageSet:
        """Build the training images; `load` remembers them."""
        raise NotImplementedError

    def reference_images(self) -> ImageSet:
        """Build the reference images; `reference` remembers them."""
        return self.load()

    def _remembered(self, part: str, build: Callable[[], ImageSet]) -> ImageSet:
        key = (part, self, self.stamp())
        found = self._loaded.get(key)
        if found is None:
            found = build()
            self._loaded[key] = found
            # Train and reference of one study; the sets of an earlier one would only take memory.
            while len(self._loaded) > 2:
                self._loaded.popitem(last=False)
        return found


def listed(counts: Iterable[tuple[str, int]]) -> str:
    """Numbers of things by name: ``1,200 cat, 3 dog``."""
    return ", ".join(f"{count:,} {name}" for name, count in counts)


def content_hash(images: Bytes, labels: Indices | None) -> str:
    """A hash of pixels, shape and labels.  Images that are mapped are read and not kept in memory."""
    digest = hashlib.sha256(repr(images.shape).encode())
    for start in range(0, len(images), _HASHED_AT_ONCE):
        digest.update(np.ascontiguousarray(images[start : start + _HASHED_AT_ONCE]).data)
    digest.update(b"" if labels is None else labels.tobytes())
    return digest.hexdigest()[:16]


def file_stamp(path: Path) -> str:
    """Size and time of change of a file."""
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def existing(path: str) -> Path:
    """`path` with ``~`` replaced.

    Raises:
        FileNotFoundError: naming the path as given and where it was looked for.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise FileNotFoundError(f"{path} does not exist (looked for {found.absolute()})")
    return found
