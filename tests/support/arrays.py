"""NumPy files, and numbers that published packages can be given too."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

#: What `save` writes, by name.
Arrays = dict[str, NDArray[Any]]


def save(path: Path, **arrays: NDArray[Any]) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]  # NumPy has a flag among the names
    return str(path)


class Numbers(Protocol):
    """Makes numbers without pattern."""

    def __call__(self, *shape: int, stream: int = 0) -> NDArray[np.float64]: ...


class MakePicture(Protocol):
    """Makes a picture without pattern, uint8 [C, H, W], from the shape (H, W, C)."""

    def __call__(self, *shape: int, stream: int = 0) -> Tensor: ...
