"""Captions where the usual tools put them, and images and captions that do not belong together."""

import json
from pathlib import Path

import pytest

from curriculum_search.data.captions import coco_captions, folder_captions, matched

NAMES = ["a.png", "in/b.png"]


def test_metadata_has_one_caption_or_several_in_a_list_or_on_several_lines(tmp_path: Path) -> None:
    rows = [
        {"file_name": "in/b.png", "text": ["two", " "]},
        {"file_name": "a.png", "text": " one "},
        {"file_name": "in/b.png", "text": "three", "more": 1},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    assert folder_captions(tmp_path, NAMES, "text") == [("one",), ("two", "three")]


def test_a_text_file_beside_each_image_has_a_caption_a_line(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "a.txt").write_text("one\n")
    (tmp_path / "in" / "b.txt").write_text("two\n\nthree")
    assert folder_captions(tmp_path, NAMES, "text") == [("one",), ("two", "three")]
    (tmp_path / "lost.txt").write_text("nothing")
    with pytest.raises(ValueError, match=r"1 of 3 captioned images are not there \(lost.txt\)"):
        folder_captions(tmp_path, NAMES, "text")


def test_coco_names_images_by_numbers(tmp_path: Path) -> None:
    document = tmp_path / "captions.json"
    annotations = [
        {"image_id": 7, "caption": "A cat.\n"},
        {"image_id": 9, "caption": "B"},
        {"image_id": 7, "caption": "C"},
    ]
    images = [{"id": 9, "file_name": "a.png"}, {"id": 7, "file_name": "in/b.png"}]
    document.write_text(json.dumps({"images": images, "annotations": annotations}))
    assert coco_captions(document, NAMES) == [("B",), ("A cat.", "C")]
    assert coco_captions(document) == [("A cat.", "C"), ("B",)]  # by their numbers
    document.write_text(
        json.dumps({"images": images, "annotations": [*annotations, {"image_id": 999, "caption": "D"}]})
    )
    with pytest.raises(ValueError, match=r"captions.json: 1 of 3 captioned images are not there \(image_id 999\)"):
        coco_captions(document, NAMES)
    document.write_text(json.dumps({"images": images, "annotations": [{"caption": "D"}]}))
    with pytest.raises(ValueError, match=r"captions.json is not one of COCO's captions_\*.json"):
        coco_captions(document, NAMES)


def test_what_does_not_belong_together_is_counted_and_listed() -> None:
    names = [f"{i}.png" for i in range(6)]
    with pytest.raises(ValueError, match=r"here: 4 of 6 images have no caption \(1.png, 2.png, 3.png, ...\); 1 of 4 "):
        matched("here", names, {"0.png": ["a"], "5.png": ["b"], "6.png": ["c"], "1.png": [" "]})
    assert matched("here", names[:1], {"0.png": ["a"]}) == [("a",)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "line 1: needs file_name"),
        ("{", "line 1: "),
        ('{"file_name": "a.png"}', "line 1: needs text, a text or a list of texts"),
        ('{"file_name": "a.png", "text": [3]}', "line 1: needs text"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text(line)
    with pytest.raises(ValueError, match=f"metadata.jsonl, {message}"):
        folder_captions(tmp_path, NAMES, "text")


def test_a_folder_without_captions_says_what_to_put_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there are no captions: put a metadata.jsonl with file_name and text"):
        folder_captions(tmp_path, NAMES, "text")
