"""Decoded images are kept in a file that all processes of a machine share."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.image_files import edm_zip

from curriculum_search.data import Zip, files
from curriculum_search.data.decoded import Decoded

SHAPE = (3, 4, 4)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), np.uint8)
EVERY = np.arange(6)

#: A process that decodes a set and says how many images it had to decode.
READER = """
import sys
import numpy as np
from curriculum_search.data import Zip, files

decoded = []
plain = files.decode
files.decode = lambda *arguments: decoded.append(1) or plain(*arguments)
images = Zip(path=sys.argv[1], decoded_path=sys.argv[2]).load()
print("ready", flush=True)
sys.stdin.readline()
total = sum(int(images.stored(np.arange(i, i + 8) % len(images)).long().sum()) for i in range(0, 400, 8))
print(len(decoded), total)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "set.images"


def test_what_one_has_put_another_gets(path: Path) -> None:
    ours, theirs = Decoded(path, 6, SHAPE), Decoded(path, 6, SHAPE)
    assert theirs.get(2) is None
    ours.put(2, IMAGES[2])
    for each in (ours, theirs, Decoded(path, 6, SHAPE)):
        found = each.get(2)
        assert found is not None
        assert np.array_equal(found, IMAGES[2])
        assert each.get(1) is None


def test_all_that_were_looked_at_are_read_at_once(path: Path) -> None:
    decoded = Decoded(path, 6, SHAPE)
    for index, image in enumerate(IMAGES):
        decoded.put(index, image)
    assert decoded.rows(EVERY) is None
    for index in EVERY[:-1]:
        decoded.get(int(index))
    assert decoded.rows(EVERY) is None
    decoded.get(5)
    rows = decoded.rows(EVERY[::-1])
    assert rows is not None
    assert np.array_equal(rows, IMAGES[::-1])
    assert decoded.rows(np.array([6])) is None


def test_images_beyond_what_is_kept_are_not_there(path: Path) -> None:
    decoded = Decoded(path, 2, SHAPE)
    decoded.put(2, IMAGES[2])
    assert decoded.get(2) is None
    assert path.stat().st_size == 2 * (48 + 4)
    nothing = Decoded(path.with_name("none"), 0, SHAPE)
    nothing.put(0, IMAGES[0])
    assert nothing.get(0) is None
    assert not path.with_name("none").exists()


def test_a_share_of_the_disk_stays_free_but_for_what_is_always_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Decoded(path, 6, SHAPE, spare=1e-9)
    assert len(whole) == 6
    for index in (1, 5):
        whole.put(index, IMAGES[index])
    monkeypatch.setattr("curriculum_search.data.decoded._ALWAYS_BYTES", 4 * 48 + 47)  # four of them
    full = Decoded(path, 6, SHAPE, spare=1.0)  # more than is ever free
    assert len(full) == 4
    for index, image in enumerate(IMAGES):
        full.put(index, image)
    assert [full.get(index) is not None for index in range(6)] == [True, True, True, False, False, True]
    assert full.there() == 4
    assert len(Decoded(path, 6, SHAPE, spare=1.0)) == 4  # as many, and the same
    assert len(Decoded(path, 6, SHAPE)) == 6


def test_all_is_kept_where_nothing_is_said_and_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edm_zip(tmp_path / "set.zip", [f"{i}.png" for i in range(5)])
    monkeypatch.setattr("curriculum_search.data.decoded._ALWAYS_BYTES", 2 * 3 * 8 * 8)
    source = Zip(path=str(tmp_path / "set.zip"), decoded_path=str(tmp_path / "decoded"))
    monkeypatch.setattr(files, "_SPARE", 1e-9)
    assert source.load_images().decoding == (0, 5)
    monkeypatch.setattr(files, "_SPARE", 1.0)
    assert source.load_images().summary.endswith("; 40 % are kept decoded, all would take 8.9e-07 GiB (cache_gib)")


@pytest.mark.parametrize("byte", [48, 6 * 48 + 4])
def test_a_row_that_is_damaged_or_half_written_is_not_there(path: Path, byte: int) -> None:
    whole = Decoded(path, 6, SHAPE)
    for index in (0, 1):
        whole.put(index, IMAGES[index])
    content = bytearray(path.read_bytes())
    content[byte] ^= 1
    path.write_bytes(content)
    decoded = Decoded(path, 6, SHAPE)
    assert decoded.get(0) is not None
    assert decoded.get(1) is None
    decoded.put(1, IMAGES[1])
    assert decoded.get(1) is not None


def test_a_black_image_is_told_from_none(path: Path) -> None:
    decoded = Decoded(path, 6, SHAPE)
    black = np.zeros(SHAPE, np.uint8)
    assert decoded.get(0) is None
    decoded.put(0, black)
    found = decoded.get(0)
    assert found is not None
    assert not found.any()


def test_where_nothing_can_be_written_images_are_decoded_each_time(tmp_path: Path) -> None:
    edm_zip(tmp_path / "set.zip", ["a.png", "b.png"])
    (tmp_path / "file").touch()
    with pytest.warns(
        UserWarning, match=r"cannot be written \(Not a directory\).*data.decoded_path names another folder"
    ):
        images = Zip(path=str(tmp_path / "set.zip"), decoded_path=str(tmp_path / "file" / "below")).load()
    expected = Zip(path=str(tmp_path / "set.zip")).load().stored(np.arange(2))
    assert images.stored(np.arange(2)).equal(expected)
    assert "0 % are kept decoded" in images.summary


def test_on_a_full_disk_what_is_there_stays_useful(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = Decoded(path, 6, SHAPE)
    decoded.put(0, IMAGES[0])

    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        decoded.put(1, IMAGES[1])
    decoded.put(1, IMAGES[1])  # without a word
    assert decoded.get(0) is not None
    assert decoded.get(1) is None


def test_the_next_study_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = edm_zip(tmp_path / "set.zip", [f"{i}.png" for i in range(5)])
    source = Zip(path=str(tmp_path / "set.zip"), decoded_path=str(tmp_path / "decoded"))
    assert np.array_equal(source.load_images().stored(np.arange(5)).numpy(), stored)

    def decode(*arguments: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(files, "decode", decode)
    assert np.array_equal(source.load_images().stored(np.arange(5)).numpy(), stored)
    other = Zip(path=str(tmp_path / "set.zip"), decoded_path=str(tmp_path / "decoded"), channels=1)
    with pytest.raises(AssertionError, match="decoded again"):
        other.load_images().stored(np.arange(1))


def test_processes_that_begin_together_share_the_work_and_read_the_same(tmp_path: Path) -> None:
    stored = edm_zip(tmp_path / "set.zip", [f"{i:03d}.png" for i in range(400)])
    command = [sys.executable, "-c", READER, str(tmp_path / "set.zip"), str(tmp_path / "decoded")]
    readers = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
        )
        for _ in range(8)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    answers = [reader.communicate("go\n", timeout=120)[0].split() for reader in readers]
    assert {int(total) for _, total in answers} == {int(stored.astype(np.int64).sum())}
    assert 400 <= sum(int(count) for count, _ in answers) < 8 * 400
    (file,) = (tmp_path / "decoded").iterdir()
    assert file.stat().st_size == 400 * (3 * 8 * 8 + 4)


def test_a_set_knows_how_many_of_its_images_any_process_has_decoded(tmp_path: Path) -> None:
    edm_zip(tmp_path / "set.zip", ["a.png", "b.png", "c.png"])
    source = Zip(path=str(tmp_path / "set.zip"), decoded_path=str(tmp_path / "decoded"))
    first, second = source.load_images(), source.load_images()
    assert first.decoding == (0, 3)
    second.stored(np.array([0, 2]))
    assert first.decoding == (2, 3)
    none = Zip(path=str(tmp_path / "set.zip"), decoded_path=str(tmp_path / "decoded"), cache_gib=0)
    assert none.load_images().decoding is None
