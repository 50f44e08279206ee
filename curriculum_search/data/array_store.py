"""What has been made of arrays, kept on each machine: images averaged down, which its processes map, and hashes."""

import hashlib
import re
from pathlib import Path

import numpy as np

from curriculum_search.atomic import replacing, write_whole
from curriculum_search.caches import kept_in
from curriculum_search.data.decoded import DECODED
from curriculum_search.data.images import Bytes, Indices, content_hash

_AT_ONCE = 1024  # images that are averaged; as float64 the whole would take eight times its memory


class ArrayStore:
    """The part of the cache that belongs to the images of a file, as long as it does not change.

    Where nothing can be written, everything is made anew by each process.

    Args:
        path: of the file.
        stamp: changes when it does.
    """

    def __init__(self, path: Path, stamp: str) -> None:
        self._key = f"{path.absolute()} {stamp}"
        self._stem = path.stem

    def scaled(self, images: Bytes, resolution: int) -> Bytes:
        """Images averaged down to a resolution that divides theirs, mapped.

        Args:
            images: uint8 [N, C, R, R].
            resolution: pixels a side.
        """
        path = self._path(f"scaled to {resolution}", "npy")
        shape = (*images.shape[:2], resolution, resolution)
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path, int(np.prod(shape))) as partial:
                    _average(images, np.lib.format.open_memmap(partial, "w+", np.uint8, shape))
            return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
        except (OSError, ValueError):
            scaled = np.empty(shape, np.uint8)
            _average(images, scaled)
            return scaled

    def hash(self, images: Bytes, labels: Indices | None) -> str:
        """The `content_hash` of images of this file, as it is or scaled, and their labels."""
        of_labels = "" if labels is None else hashlib.sha256(labels.tobytes()).hexdigest()
        path = self._path(f"hash of {images.shape} with {of_labels}", "hash")
        try:
            if re.fullmatch("[0-9a-f]{16}", known := path.read_text()):
                return known
        except (OSError, ValueError):
            pass  # It is made anew.
        found = content_hash(images, labels)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, found)
        except OSError:
            pass  # The next process reads the images again.
        return found

    def _path(self, what: str, suffix: str) -> Path:
        digest = hashlib.sha256(f"{self._key} {what}".encode()).hexdigest()[:16]
        return kept_in(None, DECODED) / f"{self._stem}-{digest}.{suffix}"


def _average(images: Bytes, scaled: Bytes) -> None:
    """Fill `scaled`, [N, C, r, r], with the means of squares of `images`, [N, C, R, R]."""
    channels, resolution = scaled.shape[1:3]
    factor = images.shape[2] // resolution
    for start in range(0, len(images), _AT_ONCE):
        part = images[start : start + _AT_ONCE].reshape(-1, channels, resolution, factor, resolution, factor)
        scaled[start : start + _AT_ONCE] = np.round(part.mean(axis=(3, 5)))
