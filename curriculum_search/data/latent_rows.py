"""Rows of numbers that lie in files: where each of a million latents is, and how it is read."""

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curriculum_search.data.compact import CompactNames, compact_integers
from curriculum_search.data.images import Indices
from curriculum_search.data.zip_members import mapped_file, member_start

_PICKLES = (
    "holds pickled objects, as U-ViT's scripts write them: these are programs, which are not run here.  If you trust "
    'them,\npython -c "import glob, numpy as np; '
    "rows = [np.load(p, allow_pickle=True) for p in sorted(glob.glob('*.npy'), key=lambda p: int(p[:-4]))]; "
    "np.save('../latents.npy', np.stack([r[0] for r in rows])); "
    "np.save('../labels.npy', np.array([r[1] for r in rows]))\"\n"
    "in that folder writes what can be read, with layout: mean_logvar and labels_path"
)


def load_array(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """The array in a ``.npy`` file, which is read or mapped.

    Raises:
        ValueError: naming the file: it holds no array, or objects that would have to be run.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path}: {_PICKLES if 'allow_pickle' in str(error) else error}") from error
    return array


class Rows(ABC):
    """N arrays of one shape and type, read by their numbers, from any thread.

    Attributes:
        shape: of one.
        dtype: of all.
        in_memory: whether they are read as memory is, mapped, and not file by file.
    """

    in_memory = True
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, indices: Indices) -> NDArray[Any]:
        """Those at `indices` (int64 [B]), [B, *shape].

        Raises:
            ValueError: naming the file that has another shape or type, or cannot be read.
        """


class MappedRows(Rows):
    """Those of arrays [n, *shape], one after the other."""

    def __init__(self, arrays: Sequence[NDArray[Any]]) -> None:
        self._arrays = arrays
        self._ends = np.cumsum([len(array) for array in arrays])
        self.shape, self.dtype = arrays[0].shape[1:], arrays[0].dtype

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, indices: Indices) -> NDArray[Any]:
        found = np.empty((len(indices), *self.shape), self.dtype)
        owner = np.searchsorted(self._ends, indices, side="right")
        for number in np.unique(owner):
            mine, array = owner == number, self._arrays[number]
            found[mine] = array[indices[mine] - (self._ends[number] - len(array))]
        return found


class NpyRows(Rows):
    """One ``.npy`` file for each, of one shape and type; a first axis of length one is left out."""

    in_memory = False

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = CompactNames(str(path) for path in paths)
        first = self._load(0)
        self.shape, self.dtype = first.shape, first.dtype

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, indices: Indices) -> NDArray[Any]:
        found = np.empty((len(indices), *self.shape), self.dtype)
        for place, index in enumerate(indices.tolist()):
            row = self._load(index)
            if (row.shape, row.dtype) != (self.shape, self.dtype):
                path = self._paths[index]
                raise ValueError(f"{path}: {row.dtype} {list(row.shape)}, while others are {self.dtype} {self.shape}")
            found[place] = row
        return found

    def _load(self, index: int) -> NDArray[Any]:
        row = load_array(Path(self._paths[index]))
        return row[0] if row.ndim == 4 and len(row) == 1 else row


class ZippedRows(Rows):
    """One ``.npy`` member of a zip archive for each, stored without compression, so that it is mapped where it lies.

    Raises:
        ValueError: a member is compressed, or not as the first one is.
    """

    def __init__(self, path: Path, members: Sequence[zipfile.ZipInfo]) -> None:
        self._path = path
        self._names = CompactNames(member.filename for member in members)
        self._headers = compact_integers([member.header_offset for member in members])
        for member in members:
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{path}: {member.filename} is compressed; store it without, as `zip -0` does")
        self._bytes = mapped_file(path)
        start = self._start(0)
        with zipfile.ZipFile(path) as archive, archive.open(members[0]) as stream:
            first = np.lib.format.read_array(stream, allow_pickle=False)
        self.shape, self.dtype = first.shape, first.dtype
        self._header = self._bytes[start : start + members[0].file_size - first.nbytes]

    def __len__(self) -> int:
        return len(self._headers)

    def read(self, indices: Indices) -> NDArray[Any]:
        found = np.empty((len(indices), *self.shape), self.dtype)
        count = int(np.prod(self.shape))
        for place, index in enumerate(indices.tolist()):
            start = self._start(index)
            data = start + len(self._header)
            if self._bytes[start:data] != self._header:
                raise ValueError(
                    f"{self._path}: {self._names[index]} is not {self.dtype} {list(self.shape)}, as the first one is"
                )
            found[place] = np.frombuffer(self._bytes, self.dtype, count, data).reshape(self.shape)
        return found

    def _start(self, index: int) -> int:
        return member_start(self._bytes, int(self._headers[index]))
