"""Arrays of archives, mapped where they lie."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from curriculum_search.data.zip_members import mapped_array, mapped_file, member_start

ROWS = np.arange(24, dtype="<i4").reshape(2, 3, 4)


@pytest.mark.parametrize("array", [ROWS, np.asfortranarray(ROWS), ROWS.astype(">f8"), ROWS[0, 0, 0]])
def test_stored_arrays_are_mapped(tmp_path: Path, array: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", first=np.zeros(3), second=array)
    found = mapped_array(tmp_path / "a.npz", "second")
    assert isinstance(found, np.memmap)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert np.array_equal(found, array)


def test_what_cannot_be_mapped_is_left_to_be_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "packed.npz", a=ROWS)
    assert mapped_array(tmp_path / "packed.npz", "a") is None
    np.savez(tmp_path / "a.npz", objects=np.array([None]), empty=ROWS[:0])
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("text.npy", "no array")
        stream = io.BytesIO()
        np.save(stream, ROWS)
        archive.writestr("bare", stream.getvalue())
    for name in ("objects", "empty", "text", "bare"):
        assert mapped_array(tmp_path / "a.npz", name) is None


def test_a_member_begins_behind_its_own_header(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a", "b"):
            info = zipfile.ZipInfo(name)
            info.extra = b"\x99\x99\x02\x00ab"
            archive.writestr(info, f"content of {name}")
    with zipfile.ZipFile(path) as archive, mapped_file(path) as content:
        start = member_start(content, archive.getinfo("b").header_offset)
        assert content[start : start + 12] == b"content of b"
