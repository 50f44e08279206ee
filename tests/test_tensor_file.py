"""Our reading and writing of safetensors, beside the library's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from curriculum_search.tensor_file import open_tensors, write_tensors

ARRAYS: dict[str, NDArray[Any]] = {
    "latents": np.random.default_rng(0).normal(size=(5, 2, 3, 3)).astype(np.float16),
    "labels": np.arange(5),
    "bytes": np.arange(3, dtype=np.uint8),
}


def test_what_the_library_writes_is_mapped(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file(ARRAYS, tmp_path / "a.safetensors", {"made": "by the library"})
    found = open_tensors(tmp_path / "a.safetensors")
    assert found.metadata == {"made": "by the library"}
    assert found.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert isinstance(found.arrays[name], np.memmap)
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


def test_what_is_written_here_is_read_by_the_library(tmp_path: Path) -> None:
    from safetensors import safe_open

    write_tensors(tmp_path / "b.safetensors", ARRAYS, {"made": "here"})
    with safe_open(tmp_path / "b.safetensors", "np") as file:
        assert file.metadata() == {"made": "here"}
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)


def test_a_file_that_is_cut_short_or_no_such_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write_tensors(path, ARRAYS, {})
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=r"c\.safetensors: cut short: tensor bytes ends at byte"):
        open_tensors(path)
    for content in (b"", whole[:20], b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"c\.safetensors: not a safetensors file, or only the beginning of one"):
            open_tensors(path)
    path.write_bytes((4).to_bytes(8, "little") + b"[1]  ")
    with pytest.raises(ValueError, match="not a safetensors file: its header cannot be read"):
        open_tensors(path)


def test_a_type_that_numpy_lacks_is_named(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"latents": torch.zeros(2, dtype=torch.bfloat16)}, tmp_path / "d.safetensors")
    with pytest.raises(ValueError, match="tensor latents is of type BF16; F64, F32"):
        open_tensors(tmp_path / "d.safetensors")
