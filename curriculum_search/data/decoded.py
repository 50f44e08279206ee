"""Decoded images that all processes of a machine share: one file, mapped where it is read, kept from study to study."""

import os
import shutil
import warnings
import zlib
from pathlib import Path

import numpy as np

from curriculum_search.data.images import Bytes, Indices

DECODED = "decoded"  # the part of the cache that they are in
_ALWAYS_BYTES = 2**30  # that are kept however little of the disk is free
_SUM_BYTES = 4  # of a row's checksum, 0 where there is no row yet


class Decoded:
    """The first so many images of a set, each there from when one of the processes has decoded it.

    A row is written before its checksum, and looked at with it when a process reads it for the first time: a row that
    was half written when a process or the machine died is not there, and neither is a damaged one.  So nobody waits for
    anybody, and of two processes that decode an image at the same time both write the same.  It may be used from any
    thread.

    Args:
        path: of the file, made where it is missing; its name says which images are in it.  Where it cannot be written
            a warning says so, and nothing is kept.
        count: images that are kept.
        shape: of one, [C, R, R].
        spare: share of the disk that is to stay free, for which fewer are kept, but for a GiB of them; 0: it may be
            filled.
    """

    def __init__(self, path: Path, count: int, shape: tuple[int, ...], *, spare: float = 0.0) -> None:
        self._path, self._count, self._shape = path, count, shape
        self._row_bytes = int(np.prod(shape))
        self._known = np.zeros(count, np.bool_)  # rows that this process has looked at
        self._takes_more = True
        self._end, self._num_kept = count, count
        if count:
            try:
                self._open()
                if spare:
                    self._leave_free(spare)
            except OSError as error:
                self._warn(error)
                self._count = self._end = self._num_kept = 0

    def __len__(self) -> int:
        """How many images are kept, or will be; 0 where nothing can be."""
        return self._num_kept

    def there(self) -> int:
        """How many images any process has decoded so far."""
        return int(np.count_nonzero(self._sums)) if self._count else 0

    def rows(self, indices: Indices) -> Bytes | None:
        """A copy of the images at `indices`, if this process has had all of them before."""
        if indices.max(initial=-1) < self._count and self._known[indices].all():
            rows: Bytes = self._rows[indices]
            return rows
        return None

    def get(self, index: int) -> Bytes | None:
        """An image, uint8 [C, R, R], where it is there."""
        if index >= self._count:
            return None
        row: Bytes = self._rows[index]
        if not self._known[index]:
            if self._sums[index] != _checksum(row):
                return None
            self._known[index] = True
        return row

    def put(self, index: int, image: Bytes) -> None:
        """Keep an image, if it is one of those that are kept."""
        if index >= self._end or not self._takes_more:
            return
        try:
            os.pwrite(self._file.fileno(), np.ascontiguousarray(image).data, index * self._row_bytes)
            checksum = _checksum(image).to_bytes(_SUM_BYTES, "little")
            os.pwrite(self._file.fileno(), checksum, self._count * self._row_bytes + index * _SUM_BYTES)
        except OSError as error:  # What is there already stays useful.
            self._takes_more = False
            self._warn(error)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        self._file = os.fdopen(descriptor, "r+b", buffering=0)
        self._file.truncate(self._count * (self._row_bytes + _SUM_BYTES))  # What is new is a hole, which takes no room.
        self._rows: Bytes = np.asarray(np.memmap(self._path, np.uint8, "r", shape=(self._count, *self._shape)))
        self._sums = np.memmap(self._path, "<u4", "r", offset=self._count * self._row_bytes, shape=(self._count,))

    def _leave_free(self, spare: float) -> None:
        """End where the room ends that is there now, for what has not been decoded."""
        missing = np.flatnonzero(self._sums == 0)
        there, disk = self._count - len(missing), shutil.disk_usage(self._path.parent)
        room = max(disk.free - int(spare * disk.total), _ALWAYS_BYTES - there * self._row_bytes, 0) // self._row_bytes
        if room < len(missing):
            self._end, self._num_kept = int(missing[room]), there + room

    def _warn(self, error: OSError) -> None:
        warnings.warn(
            f"{self._path} cannot be written ({error.strerror}), so that images are decoded whenever they are read; "
            "data.decoded_path names another folder",
            stacklevel=2,
        )


def _checksum(row: Bytes) -> int:
    return zlib.crc32(np.ascontiguousarray(row).data) or 1
