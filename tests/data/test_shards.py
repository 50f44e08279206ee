"""Archives that cannot be read are named, and those that can are read through once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.image_files import picture
from support.shards import shard, sharded

from curriculum_search.data import WebDataset, shards


def test_a_folder_without_archives_and_archives_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.zip").touch()
    with pytest.raises(ValueError, match=r"none: no .tar in it; it has 1 .zip"):
        WebDataset(path=str(tmp_path / "none")).check()
    packed = shard(tmp_path / "packed" / "a.tar.gz", {"0.png": picture()}, "w:gz")
    for path in (packed, packed.parent):
        with pytest.raises(ValueError, match=r"a.tar.gz is compressed.*unpack it to .tar"):
            WebDataset(path=str(path)).check()
    whole = shard(tmp_path / "b.tar", {"0.png": picture(64, 64)})
    whole.write_bytes(whole.read_bytes()[:700])
    with pytest.raises(ValueError, match=r"b.tar (is cut off in 0.png|is not a tar archive that can be read)"):
        WebDataset(path=str(whole)).check()
    (tmp_path / "c.tar").write_text("no archive at all")
    with pytest.raises(ValueError, match=r"c.tar is not a tar archive that can be read"):
        WebDataset(path=str(tmp_path / "c.tar")).check()


def test_archives_are_read_through_once_and_again_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, images = sharded(tmp_path)
    source = WebDataset(path=str(path), decoded_path=str(tmp_path / "kept"))
    first = source.load_images()
    plain, read = shards._files, list[Path]()

    def watched(shard: Path) -> Iterator[tuple[str, int, int, bytes | None]]:
        read.append(shard)
        return plain(shard)

    monkeypatch.setattr(shards, "_files", watched)
    assert source.load_images().fingerprint == first.fingerprint
    assert read == []
    (kept,) = (tmp_path / "kept").glob("shards-*")
    kept.write_bytes(kept.read_bytes()[:-30])  # damaged
    assert np.array_equal(source.load_images().stored(np.arange(9)).numpy(), images)
    assert len(read) == 3
    stamp = source.stamp()
    shard(path / "train-000003.tar", {"9.png": picture(), "9.cls": "0"})
    assert source.stamp() != stamp
    assert len(source.load_images()) == 10
    assert source.load_images().fingerprint != first.fingerprint


@pytest.mark.parametrize("longest", [shards._LONGEST_TEXT, 0])
def test_texts_are_read_with_the_list_and_long_ones_where_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    monkeypatch.setattr(shards, "_LONGEST_TEXT", longest)
    path, _ = sharded(tmp_path)
    for _ in range(2):  # once as the archives are read through, once from the list that is kept
        files = shards.ShardFiles(path, None, tmp_path / "kept")
        assert [files.beside(i, "cls") for i in range(len(files.names))] == [str(i % 4) for i in range(9)]
        assert files.beside(0, "txt") is None
    for archive in path.glob("*.tar"):
        archive.unlink()
    if longest:
        assert files.beside(0, "cls") == "0"
    else:
        with pytest.raises(FileNotFoundError):
            files.beside(0, "cls")


def test_archives_without_a_file_say_so_whenever_they_are_asked(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", {})
    for _ in range(2):  # once as the archive is read through, once from the list that is kept
        with pytest.raises(ValueError, match=r"a.tar: no image in 1 archives"):
            shards.ShardFiles(tmp_path / "a.tar", None, tmp_path / "kept")


def test_a_sample_without_a_text_and_an_empty_text_are_told_apart(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", {"0.png": picture(), "0.txt": "", "1.png": picture()})
    files = shards.ShardFiles(tmp_path / "a.tar", None, tmp_path / "kept")
    assert [files.beside(i, "txt") for i in range(2)] == ["", None]


def test_a_name_that_is_no_unicode_is_kept_as_it_is(tmp_path: Path) -> None:
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    shard(tmp_path / "a.tar", {name: picture(), "b.png": picture()})
    for _ in range(2):
        assert [*shards.ShardFiles(tmp_path / "a.tar", None, tmp_path / "kept").names] == [
            f"a.tar/{name}",
            "a.tar/b.png",
        ]
