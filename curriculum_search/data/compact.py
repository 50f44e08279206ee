"""Names and numbers of a million images in little memory, for what each process has to know of every one."""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

_BLOCK = 64  # names that are compressed together


class CompactNames(Sequence[str]):
    """A list of names, compressed in blocks: some five bytes a name where neighbours are alike, as in a sorted list.

    It is made to be gone through; one name of it takes some ten microseconds.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._blocks: list[bytes] = []
        self._length = 0
        remaining = iter(names)
        while block := list(islice(remaining, _BLOCK)):
            # JSON has every text that Python has, also what is no Unicode in a file's name.
            self._blocks.append(zlib.compress(json.dumps(block).encode()))
            self._length += len(block)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        for number in range(len(self._blocks)):
            yield from self._names(number)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        place = range(self._length)[index]
        if isinstance(place, range):
            return [self[each] for each in place]
        return self._names(place // _BLOCK)[place % _BLOCK]

    def _names(self, number: int) -> list[str]:
        names: list[str] = json.loads(zlib.decompress(self._blocks[number]))
        return names


def compact_integers(values: Sequence[int]) -> NDArray[Any]:
    """Integers from 0 on, of the smallest type that has them all."""
    return np.array(values, np.min_scalar_type(max(values, default=0)))
