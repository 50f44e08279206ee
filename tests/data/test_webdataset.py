"""WebDataset's shards, with classes or captions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.captioned import save_bert
from support.image_files import everything, picture
from support.shards import Members, shard, sharded

from curriculum_search.data import CaptionedWebDataset, DataSource, WebDataset
from curriculum_search.text import SentenceEncoder


def test_shards_are_read_in_their_order_with_their_classes(tmp_path: Path) -> None:
    path, images = sharded(tmp_path)
    found, labels = everything(WebDataset(path=str(path)))
    assert np.array_equal(found, images)
    assert labels == [i % 4 for i in range(9)]
    alone, labels = everything(WebDataset(path=str(path / "train-000001.tar"), use_labels=False))
    assert np.array_equal(alone, images[3:6])
    assert labels is None


def test_what_was_found_is_said_in_one_line(tmp_path: Path) -> None:
    source = WebDataset(path=str(sharded(tmp_path)[0]))
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


@pytest.mark.parametrize("kind", ["webdataset", "captioned_webdataset"])
def test_both_are_kinds_of_data(kind: str) -> None:
    fields: dict[str, Any] = {"kind": kind, "path": "x", "extension": "jpg"}
    assert DataSource.from_dict(fields).to_dict()["extension"] == "jpg"
