"""NumPy files of images and labels: which of their arrays is what."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from curriculum_search.data.images import Bytes, Indices
from curriculum_search.data.zip_members import mapped_array

IMAGE_NAMES = ("images", "image", "arr_0", "x")
LABEL_NAMES = ("labels", "label", "y", "arr_1", "targets", "target", "classes")
_CHANNELS = (1, 3)


class ArrayFile:
    """The arrays of a file by name; that of an ``.npy`` has the name ``""``.

    Args:
        arrays: name to array.
        mapped: gives an array by name where it can be mapped.
    """

    def __init__(self, arrays: Mapping[str, Any], mapped: Callable[[str], Any] = lambda name: None) -> None:
        self._arrays = arrays
        self._mapped = mapped

    def images(self) -> Bytes:
        """uint8 [N, C, R, R].

        Raises:
            ValueError: there is none, more than one array could be meant, or it has another type or shape.
        """
        name = self._images_name()
        mapped = self._mapped(name)
        return _as_images(self._arrays[name] if mapped is None else mapped)

    def labels(self, num_images: int) -> Indices | None:
        """int64 [N] of the images in the same file, None where there are none.

        Raises:
            ValueError: more than one array could be meant, or it has another type or shape.
        """
        name = self._one_of(LABEL_NAMES)
        if name is not None:
            return _as_labels(self._arrays[name], num_images)
        for other in sorted(set(self._arrays) - {self._images_name()}):
            if self._could_be_labels(other, num_images):
                raise ValueError(
                    f"array {other} has a whole number for each image and could be labels: call it labels, or set "
                    "use_labels: false to train without"
                )
        return None

    def labels_alone(self, num_images: int) -> Indices:
        """int64 [N] in a file of labels: under one of `LABEL_NAMES`, or its only array.

        Raises:
            ValueError: see `labels`.
        """
        name = self._one_of(LABEL_NAMES) or (next(iter(self._arrays)) if len(self._arrays) == 1 else None)
        if name is None:
            raise ValueError(f"no array named {_either(LABEL_NAMES)}, only {', '.join(self._arrays) or 'nothing'}")
        return _as_labels(self._arrays[name], num_images)

    def others(self, *, use_labels: bool) -> dict[str, int]:
        """What is left unread, for `ImageSet.skipped`."""
        read = {self._images_name(), self._one_of(LABEL_NAMES) if use_labels else None}
        return {f"array {name}": 1 for name in self._arrays if name not in read}

    def _images_name(self) -> str:
        if "" in self._arrays:
            return ""
        name = self._one_of(IMAGE_NAMES)
        if name is None:
            raise ValueError(f"no array named {_either(IMAGE_NAMES)}, only {', '.join(self._arrays) or 'nothing'}")
        return name

    def _one_of(self, names: Sequence[str]) -> str | None:
        found = [name for name in names if name in self._arrays]
        if len(found) > 1:
            raise ValueError(f"arrays {_either(found)}: it is not clear which is meant; keep one of them")
        return found[0] if found else None

    def _could_be_labels(self, name: str, num_images: int) -> bool:
        try:
            array = self._arrays[name]
        except ValueError:  # an array of objects
            return False
        return array.shape in ((num_images,), (num_images, 1)) and np.issubdtype(array.dtype, np.integer)


@contextmanager
def array_file(path: Path) -> Iterator[ArrayFile]:
    """Open an ``.npz`` or ``.npy``.  What is wrong names the file.

    Images that are not compressed are mapped, so that they may be larger than the memory.

    Raises:
        ValueError: the file cannot be read, or what `ArrayFile` says of its arrays.
    """
    try:
        loaded = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            yield ArrayFile({"": loaded})
        else:
            with loaded:
                yield ArrayFile(loaded, lambda name: mapped_array(path, name))
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: {error}") from error


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _as_images(array: Any) -> Bytes:
    if array.dtype != np.uint8:
        raise ValueError(f"images must be uint8 in 0..255, not {array.dtype}")
    shape = array.shape
    last, first = (len(shape) == 4 and shape[axis] in _CHANNELS for axis in (3, 1))
    if len(shape) == 3:
        array = array[:, None]
    elif last and (not first or shape[1] == shape[2]):
        array = array.transpose(0, 3, 1, 2)
    elif not first:
        raise ValueError(f"images must be [N, H, W, C] or [N, C, H, W] with C 1 or 3, not {list(shape)}")
    if len(array) == 0:
        raise ValueError("no image in it")
    if array.shape[2] != array.shape[3]:
        raise ValueError(f"images must be square, not {array.shape[2]}x{array.shape[3]}, as those of {list(shape)} are")
    return array  # type: ignore[no-any-return]


def _as_labels(labels: Any, num_images: int) -> Indices:
    if labels.shape != (num_images,):
        raise ValueError(f"labels must be [{num_images}], one for each image, not {list(labels.shape)}")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers, not {labels.dtype}")
    if labels.min() < 0:
        raise ValueError(f"labels must not be negative: image {int(labels.argmin())} has {labels.min()}")
    return labels.astype(np.int64)  # type: ignore[no-any-return]
