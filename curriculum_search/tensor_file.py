"""The safetensors format: tensors of one file, mapped where they lie, and words about them.

Eight bytes with the length of a JSON header, the header (name to type, shape and place), then the tensors' bytes.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1"}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}
_METADATA = "__metadata__"
_MAX_HEADER = 100_000_000  # bytes, as the format allows


@dataclass(frozen=True, kw_only=True)
class TensorFile:
    """What is in a file.

    Attributes:
        arrays: name to array, mapped read-only.
        metadata: name to text.
    """

    arrays: Mapping[str, NDArray[Any]]
    metadata: Mapping[str, str]


def open_tensors(path: Path) -> TensorFile:
    """Map the tensors of a file.

    Raises:
        ValueError: naming the file: it is none of this format, cut short, or has a tensor of a type that NumPy lacks.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_MAX_HEADER, size - 8):
            raise ValueError(f"{path}: not a safetensors file, or only the beginning of one")
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            metadata = header.pop(_METADATA, {})
            places = {name: (entry["dtype"], entry["shape"], entry["data_offsets"]) for name, entry in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: not a safetensors file: its header cannot be read") from error
    arrays = {}
    for name, (kind, shape, (first, last)) in places.items():
        if kind not in _TYPES:
            raise ValueError(f"{path}: tensor {name} is of type {kind}; {', '.join(_TYPES)} can be read")
        if 8 + length + last > size:
            raise ValueError(f"{path}: cut short: tensor {name} ends at byte {8 + length + last:,} of {size:,}")
        if last == first:
            arrays[name] = np.empty(shape, _TYPES[kind])
        else:
            arrays[name] = np.memmap(path, _TYPES[kind], "r", offset=8 + length + first, shape=tuple(shape))
    return TensorFile(arrays=arrays, metadata=metadata)


def write_tensors(path: Path, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write a file that `open_tensors`, and the safetensors library, read."""
    begin, _ = _beginning({name: (array.dtype, array.shape) for name, array in arrays.items()}, metadata)
    with path.open("wb") as file:
        file.write(begin)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data)


def allocate_tensors(
    path: Path, shapes: Mapping[str, tuple[DTypeLike, tuple[int, ...]]], metadata: Mapping[str, str]
) -> dict[str, NDArray[Any]]:
    """Write such a file with zeros, and map its tensors, each of which has some elements, to be written to.

    Args:
        path: of the file.
        shapes: name to type and shape.
        metadata: name to text.
    """
    begin, ends = _beginning(shapes, metadata)
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(len(begin) + max(ends.values()))
    return {
        name: np.memmap(path, kind, "r+", offset=len(begin) + ends[name] - _num_bytes(kind, shape), shape=shape)
        for name, (kind, shape) in shapes.items()
    }


def _beginning(
    shapes: Mapping[str, tuple[DTypeLike, tuple[int, ...]]], metadata: Mapping[str, str]
) -> tuple[bytes, dict[str, int]]:
    """What stands before the tensors' bytes, and where each of them ends, counted from there."""
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    offset, ends = 0, dict[str, int]()
    for name, (kind, shape) in shapes.items():
        ends[name] = offset + _num_bytes(kind, shape)
        header[name] = {
            "dtype": _NAMES[np.dtype(kind)],
            "shape": list(shape),
            "data_offsets": [offset, ends[name]],
        }
        offset = ends[name]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight, which mapping likes
    return len(text).to_bytes(8, "little") + text, ends


def _num_bytes(kind: DTypeLike, shape: tuple[int, ...]) -> int:
    return np.dtype(kind).itemsize * math.prod(shape)
