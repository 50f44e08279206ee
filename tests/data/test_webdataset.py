"""WebDataset's shards, with classes or captions."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.captioned import save_bert
from support.image_files import everything, picture

from curriculum_search.data import CaptionedWebDataset, DataSource, WebDataset, shards
from curriculum_search.data.images import Bytes
from curriculum_search.text import SentenceEncoder

#: A member's content: an image, a text, or bytes as they are.
Members = Mapping[str, Bytes | str | bytes]


def encoded(content: Bytes | str | bytes) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    stream = io.BytesIO()
    Image.fromarray(content).save(stream, format="png")
    return stream.getvalue()


def shard(path: Path, members: Members, mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(encoded(content))
            archive.addfile(info, io.BytesIO(encoded(content)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, Bytes]:
    """Three shards with classes, in a folder that has something else too; and their images."""
    images = np.stack([picture() for _ in range(9)])
    for number in range(3):
        members: dict[str, Bytes | str | bytes] = {}
        for i in range(3 * number, 3 * number + 3):
            members |= {f"{i:05d}.cls": str(i % 4), f"{i:05d}.png": images[i]}
        shard(tmp_path / "set" / f"train-{number:06d}.tar", members)
    (tmp_path / "set" / "README.md").touch()
    return tmp_path / "set", images.transpose(0, 3, 1, 2)


def test_shards_are_read_in_their_order_with_their_classes(folder: tuple[Path, Bytes]) -> None:
    path, images = folder
    found, labels = everything(WebDataset(path=str(path)))
    assert np.array_equal(found, images)
    assert labels == [i % 4 for i in range(9)]
    alone, labels = everything(WebDataset(path=str(path / "train-000001.tar"), use_labels=False))
    assert np.array_equal(alone, images[3:6])
    assert labels is None


def test_what_was_found_is_said_in_one_line(folder: tuple[Path, Bytes]) -> None:
    source = WebDataset(path=str(folder[0]))
    source.check()
    assert source.summary() == "set 8x8: 9 colour images of 8x8 pixels; 4 classes (2 to 3 images each)"


def test_classes_may_be_in_json(tmp_path: Path) -> None:
    members = {
        f"{i}.{part}": content
        for i in range(3)
        for part, content in (("json", json.dumps({"y": i})), ("jpg", picture()))
    }
    path = shard(tmp_path / "a.tar", members)
    assert everything(WebDataset(path=str(path), label_column="y"))[1] == [0, 1, 2]
    assert everything(WebDataset(path=str(path)))[1] is None


def test_one_of_several_images_of_a_sample_is_named(tmp_path: Path) -> None:
    members: Members = {"a/x.input.png": picture(), "a/x.output.png": picture(16, 16), "a/x.txt": "words"}
    path = str(shard(tmp_path / "a.tar", members))
    with pytest.raises(
        ValueError, match=r"sample a.tar/a/x has several images, input.png and output.png; extension says"
    ):
        WebDataset(path=path).check()
    assert WebDataset(path=path, extension="output.png").load().resolution == 16
    with pytest.raises(ValueError, match=r"has no image with the extension png, only input.png, output.png, txt"):
        WebDataset(path=path, extension="png").check()


def test_captions_are_lines_of_text_or_a_column(tmp_path: Path) -> None:
    encoder = SentenceEncoder(path=save_bert(tmp_path / "bert"))
    beside: Members = {"0.png": picture(), "0.txt": "a digit one\nthe digit one\n", "1.png": picture(), "1.txt": "two"}
    in_json: Members = {
        "2.png": picture(),
        "2.json": json.dumps({"text": ["three", "a digit"]}),
        "3.png": picture(),
        "3.json": json.dumps({"text": "four"}),
    }
    for name, members, expected in (
        ("a", beside, [("a digit one", "the digit one"), ("two",)]),
        ("b", in_json, [("three", "a digit"), ("four",)]),
    ):
        source = CaptionedWebDataset(path=str(shard(tmp_path / f"{name}.tar", members)), text_encoder=encoder)
        source.check()
        assert list(source.find_captions(source.open_files())) == expected
        assert "passed over" not in source.summary()


def test_an_image_without_a_caption_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", {"0.png": picture(), "0.txt": "one", "1.png": picture()})
    encoder = SentenceEncoder(path=save_bert(tmp_path / "bert"))
    with pytest.raises(ValueError, match=r"1 of 2 images have no caption \(a.tar/1.png\)"):
        CaptionedWebDataset(path=str(path), text_encoder=encoder).check()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"0.png": picture(), "0.cls": "1", "1.png": picture()}, "1 of 2 images have no class, as a.tar/1.png"),
        ({"0.png": picture(), "0.cls": "cat"}, "a.tar/0.png has the class 'cat' in its .cls; it must be an integer"),
        ({"0.png": picture(), "0.json": '{"label": -1}'}, "has the class -1 in its .json under label"),
        ({"0.png": picture(), "0.json": "{"}, "the .json of a.tar/0.png: Expecting"),
        ({"0.png": picture(), "0.json": "[1]"}, r"the .json of a.tar/0.png must be an object, not \[1\]"),
        ({"0.png": picture(), "0.cls": b"\xff"}, "0.cls is no text in UTF-8"),
        ({"0.txt": "words"}, "sample a.tar/0 has no image, only txt"),
        ({".hidden.png": picture()}, "no image in 1 archives"),
        ({"0.png": "no image"}, "a.tar/0.png: "),
    ],
)
def test_what_is_wrong_in_an_archive_is_named(tmp_path: Path, members: Members, message: str) -> None:
    path = shard(tmp_path / "a.tar", members)
    with pytest.raises(ValueError, match=message):
        WebDataset(path=str(path)).check()


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
    folder: tuple[Path, Bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, images = folder
    source = WebDataset(path=str(path), decoded_path=str(tmp_path / "kept"))
    first = source.load_images()
    plain, read = shards._files, list[Path]()

    def watched(shard: Path) -> Iterator[tuple[str, int, int]]:
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


@pytest.mark.parametrize("kind", ["webdataset", "captioned_webdataset"])
def test_both_are_kinds_of_data(kind: str) -> None:
    fields: dict[str, Any] = {"kind": kind, "path": "x", "extension": "jpg"}
    assert DataSource.from_dict(fields).to_dict()["extension"] == "jpg"
