"""Members of zip archives that are stored without compression, so that they can be mapped where they lie."""

import mmap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOCAL_HEADER = 30  # bytes of a member's header before its name


def mapped_file(path: Path) -> mmap.mmap:
    """A file's bytes, mapped."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def member_start(archive: mmap.mmap, header_offset: int) -> int:
    """Where a member's bytes begin; its header stands just before them and may have another length than the list at the
    end of the archive says."""
    at = header_offset
    name, extra = (int.from_bytes(archive[at + i : at + i + 2], "little") for i in (26, 28))
    return at + _LOCAL_HEADER + name + extra


def mapped_array(path: Path, name: str) -> NDArray[Any] | None:
    """An array of an ``.npz``, mapped; None where it has to be read: it is compressed, empty, of objects or none."""
    with zipfile.ZipFile(path) as archive:
        if f"{name}.npy" not in archive.namelist():  # NumPy writes no such file, and reads it.
            return None
        info = archive.getinfo(f"{name}.npy")
        if info.compress_type != zipfile.ZIP_STORED:
            return None
        with archive.open(info) as stream:
            try:
                version = np.lib.format.read_magic(stream)
                read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, by_columns, dtype = read[version](stream)
            except (ValueError, KeyError):
                return None
            header = stream.tell()
    if dtype.hasobject or 0 in shape:
        return None
    with mapped_file(path) as whole:
        start = member_start(whole, info.header_offset) + header
    return np.memmap(path, dtype, "r", start, shape, "F" if by_columns else "C")
