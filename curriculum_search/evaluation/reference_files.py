"""Reading reference statistics and images from the files that people already have.  No file ever runs code.

Known are: EDM's ``.npz`` and those of pytorch-fid and clean-fid (``mu``, ``sigma``), ADM's ``.npz`` (``mu``, ``sigma``,
and the images themselves as ``arr_0``, for which the other names of data of kind array do as well), and EDM2's ``.pkl``
(``fid`` and ``fd_dinov2``, each with ``mu``, ``sigma``).
"""

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curriculum_search.data import IMAGE_NAMES, MemoryImages, array_file
from curriculum_search.evaluation.cache import file_sha256

_NO_IMAGES = "{} holds statistics, not images, and only a Frechet distance can be taken from those"


def holds_statistics(path: Path) -> bool:
    """Whether `path` holds statistics; if not, it should hold images.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it is damaged.
    """
    if path.suffix == ".pkl":
        return True
    with _npz(path) as file:
        return "mu" in file.files or not any(name in file.files for name in IMAGE_NAMES)


def read_statistics(path: Path, extractor: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [d] and covariance [d, d] in `path`.

    Args:
        path: an ``.npz`` or EDM2's ``.pkl``.
        extractor: label of the extractor, which EDM2's files have one entry for.

    Raises:
        ValueError: the file is damaged, of another kind, or has no statistics of this extractor.
    """
    content: Mapping[str, Any]
    if path.suffix == ".pkl":
        content = _edm2_entry(path, extractor)
    else:
        with _npz(path) as file:
            content = {name: file[name] for name in ("mu", "sigma") if name in file.files}
    if missing := [name for name in ("mu", "sigma") if name not in content]:
        raise ValueError(f"{path} has no {' and no '.join(missing)}; a file of reference statistics has mu and sigma")
    try:
        mean, covariance = (np.asarray(content[name], np.float64) for name in ("mu", "sigma"))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} has mu and sigma that are not arrays of numbers: {error}") from error
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(f"{path} has mu {list(mean.shape)} and sigma {list(covariance.shape)}; needed: [d], [d, d]")
    return mean, covariance


def read_images(path: Path) -> MemoryImages:
    """The images in an ``.npz``, under the names and in the shapes that data of kind array have.

    Raises:
        ValueError: there are none, or they have another type or shape.
    """
    if path.suffix == ".pkl":
        raise ValueError(_NO_IMAGES.format(path))
    with _npz(path) as file:
        if not any(name in file.files for name in IMAGE_NAMES):
            raise ValueError(_NO_IMAGES.format(path))
    with array_file(path) as arrays:
        return MemoryImages(path.name, arrays.images(), None, fingerprint=file_sha256(path)[:16])


def _npz(path: Path) -> Any:
    try:
        file = np.load(path, allow_pickle=False)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is no readable .npz file of arrays: {error}") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError(f"{path} is a single array; a reference file is an .npz with mu and sigma, or images")
    return file


def _edm2_entry(path: Path, extractor: str) -> Mapping[str, Any]:
    entries = {"inception": "fid", "dinov2": "fd_dinov2"}
    content = load_arrays(path)
    name = entries.get(extractor)
    if not isinstance(content, dict) or not isinstance(content.get(name), dict):
        known = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path} has no statistics for extractor {extractor} (it has: {known})")
    return content[name]  # type: ignore[no-any-return]


def load_arrays(path: Path) -> Any:
    """Unpickle containers, numbers, strings and numpy arrays; anything else is refused before it is even imported.

    Raises:
        ValueError: the file asks for something else, or is no pickle.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(path.read_bytes())).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no readable pickle of numpy arrays: {error}") from error


def _latin1(text: str, encoding: str) -> bytes:
    """Stands in for `codecs.encode`, by which old pickles write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not allowed")
    return text.encode("latin1")


def _empty_array(subtype: type, shape: Any, dtype: Any) -> NDArray[Any]:
    """Stands in for numpy's `_reconstruct`, which would take any class as its first argument."""
    if subtype is not np.ndarray:
        raise pickle.UnpicklingError(f"an array of class {subtype!r} is not allowed")
    return np.ndarray.__new__(np.ndarray, shape, dtype)


def _from_buffer(buffer: Any, dtype: np.dtype[Any], shape: Any, order: str, axis_order: Any = None) -> NDArray[Any]:
    """Stands in for numpy's `_frombuffer`, by which protocol 5 writes arrays."""
    array = np.frombuffer(buffer, dtype=dtype)
    if order == "K" and axis_order is not None:
        return array.reshape(shape).transpose(axis_order)
    return array.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: np.dtype[Any], content: bytes) -> Any:
    """Stands in for numpy's `scalar`."""
    return np.frombuffer(content, dtype=dtype, count=1)[0]


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    # NumPy 2 renamed numpy.core to numpy._core; files have either.
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _empty_array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        return _ALLOWED[module, name]
