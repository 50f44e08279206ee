"""Labels of image files: found where the usual tools put them, and nothing that could be meant in two ways."""

import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from support.image_files import Content, archive, folder, labels_of, loaded, picture

from curriculum_search.data import Folder, Zip

Make = Callable[[Path, Content], Folder | Zip]


def document(**labels: int) -> str:
    return json.dumps({"labels": [[f"{name}.png", label] for name, label in labels.items()]})


@pytest.fixture(params=[folder, archive])
def make(request: pytest.FixtureRequest) -> Make:
    found: Make = request.param
    return found


@pytest.mark.parametrize("base", ["", "set/", "outer/inner/"])
@pytest.mark.parametrize("name", ["dataset.json", "Dataset.json", "DATASET.JSON"])
def test_the_document_of_labels_is_found_in_any_folder_and_case(
    tmp_path: Path, make: Make, base: str, name: str
) -> None:
    source = make(tmp_path, {f"{base}a.png": None, f"{base}b.png": None, f"{base}{name}": document(a=3, b=1)})
    assert labels_of(source) == [3, 1]


def test_class_folders_are_labels_in_folders_and_archives(tmp_path: Path, make: Make) -> None:
    source = make(tmp_path, {"dog/0.png": None, "cat/0.png": None, "cat/deep/1.png": None, "eel/0.png": None})
    assert labels_of(source) == [0, 0, 1, 2]
    assert loaded(source).class_names == ("cat", "dog", "eel")


@pytest.mark.parametrize("base", ["set", "a/b", "train"])
def test_a_single_folder_around_class_folders_is_no_class(tmp_path: Path, make: Make, base: str) -> None:
    assert labels_of(make(tmp_path, {f"{base}/cat/0.png": None, f"{base}/dog/0.png": None})) == [0, 1]


def test_a_single_class_folder_is_one_class(tmp_path: Path, make: Make) -> None:
    assert labels_of(make(tmp_path, {"cat/0.png": None, "cat/1.png": None})) == [0, 0]


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "JFIF", "pnm", "tga", "jp2"])
def test_a_class_whose_images_have_a_rarer_suffix_is_read(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    Image.fromarray(picture()).save(tmp_path / "a" / "0.png")
    kind = {"pnm": "PPM", "tga": "TGA", "jp2": "JPEG2000"}.get(suffix, "JPEG")
    Image.fromarray(picture()).save(tmp_path / "b" / f"0.{suffix}", format=kind)
    assert labels_of(Folder(path=str(tmp_path))) == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"a/0.png": None, "b/": None, "c/0.png": None},
            "no image in class folder b; take it out, or use_labels: false",
        ),
        ({"a/0.png": None, "b/notes.txt": "", "c/0.png": None}, "no image in class folder b"),
        ({"set/a/0.png": None, "set/b/": None}, "set/: no image in class folder b"),
        ({"0.png": None, "a/0.png": None}, r"0\.png lies beside the class folders"),
        ({"train/a/0.png": None, "val/a/0.png": None}, "train and val look like parts of a data set, not classes"),
        ({"train/0.png": None, "Test/0.png": None}, "Test and train look like parts of a data set"),
        (
            {"0.png": None, "dataset.json": document(), "old/Dataset.json": document()},
            r"dataset\.json and old/Dataset\.json could both be the labels",
        ),
        (
            {"00000/img00000000.png": None, "00001/img00001000.png": None},
            r"numbered as EDM's dataset_tool does it, and the dataset\.json that it writes is missing",
        ),
        (
            {"set/a.png": None, "b.png": None, "set/dataset.json": document(a=0)},
            r"set/dataset\.json: b\.png has no label",
        ),
        ({"a.png": None, "dataset.json": "[" * 100_000}, r"dataset\.json is not \{"),
        ({"a.png": None, "b.heic": ""}, r"1 images cannot be read, b\.heic the first; convert them"),
        ({"b.txt": "", ".a.png": ""}, r"no image in it .*; passed over: 1 hidden, 1 \.txt"),
    ],
)
def test_what_could_be_meant_in_two_ways_or_would_be_lost_is_an_error(
    tmp_path: Path, make: Make, content: Content, message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^path: .*set.*{message}"):
        make(tmp_path, content).check()


@pytest.mark.parametrize(
    "content",
    [{"a/0.png": None, "b/": None}, {"0.png": None, "a/1.png": None}, {"train/0.png": None, "val/0.png": None}],
)
def test_without_labels_folders_mean_nothing(tmp_path: Path, make: Make, content: Content) -> None:
    source = make(tmp_path, content)
    unlabelled = type(source)(path=source.path, use_labels=False)
    assert labels_of(unlabelled) is None


def test_an_archives_labels_that_unpack_to_more_than_labels_can_are_refused_unread(tmp_path: Path) -> None:
    bomb = '{"labels": [' + " " * 30_000_000 + "]}"
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as target:
        with target.open("a.png", "w") as stream:
            Image.fromarray(picture()).save(stream, format="PNG")
        target.writestr("dataset.json", bomb)
    assert (tmp_path / "set.zip").stat().st_size < 50_000
    with pytest.raises(
        ValueError, match=r"set\.zip: dataset\.json is larger than the 1\.0 MiB that labels of 1 images"
    ):
        Zip(path=str(tmp_path / "set.zip")).check()


def test_labels_that_cannot_be_unpacked_are_named(tmp_path: Path) -> None:
    source = archive(tmp_path, {"a.png": None, "dataset.json": document(a=0)})
    raw = Path(source.path).read_bytes()
    Path(source.path).write_bytes(raw.replace(b'{"labels": [["a.png"', b'{"labels": [["b.png"', 1))
    with pytest.raises(ValueError, match=r"set\.zip: dataset\.json: Bad CRC-32"):
        source.check()


def test_the_summary_has_images_classes_and_what_was_passed_over_with_counts(tmp_path: Path, make: Make) -> None:
    source = make(
        tmp_path,
        {
            "cat/0.png": None,
            "cat/1.png": None,
            "dog/0.png": None,
            "dog/a.txt": "",
            "b.csv": "",
            "c.csv": "",
            ".x.png": "",
        },
    )
    expected = "set 8x8: 3 colour images of 8x8 pixels; 2 classes (2 cat, 1 dog); passed over: 2 .csv, 1 hidden, 1 .txt"
    assert source.summary() == expected
    other = type(source)(path=source.path, use_labels=False, channels=1)
    assert other.summary().startswith("set 8x8: 3 grey images of 8x8 pixels; no labels; passed over: ")


def test_the_summary_of_a_source_tells_the_reference_where_it_is_other_images(tmp_path: Path) -> None:
    source = folder(tmp_path, {"a/0.png": None, "b/0.png": None})
    both = Folder(path=f"{source.path}", reference_path=f"{source.path}/a")
    train = "set 8x8: 2 colour images of 8x8 pixels; 2 classes (1 a, 1 b)"
    assert source.summary() == train
    assert both.summary() == f"{train} | reference a 8x8: 1 colour images of 8x8 pixels; no labels"


def test_the_summary_of_many_classes_gives_the_smallest_and_the_largest(tmp_path: Path) -> None:
    source = folder(tmp_path, {f"{i:02d}/{k}.png": None for i in range(11) for k in range(1 + i % 2)})
    assert "; 11 classes (1 to 2 images each)" in source.summary()


def metadata(**labels: object) -> str:
    rows = [
        {"file_name": f"{name}.png"} | ({} if label is None else {"label": label}) for name, label in labels.items()
    ]
    return "\n".join(json.dumps(row) for row in rows)


def test_the_classes_in_an_imagefolders_metadata_are_numbers_or_names(tmp_path: Path) -> None:
    numbered = folder(tmp_path / "a", {"a.png": None, "b.png": None, "metadata.jsonl": metadata(b=0, a=7)})
    assert labels_of(numbered) == [7, 0]
    named = folder(tmp_path / "b", {"a.png": None, "b.png": None, "metadata.jsonl": metadata(a="dog", b="cat")})
    assert labels_of(named) == [1, 0]
    assert loaded(named).class_names == ("cat", "dog")
    assert "jsonl" not in loaded(named).summary
    rows = '{"file_name": "x/a.png", "breed": 2}\n\n{"file_name": "y/b.png", "breed": 1}'
    other = folder(tmp_path / "c", {"x/a.png": None, "y/b.png": None, "metadata.jsonl": rows})
    assert labels_of(other) == [0, 1]  # no line has a label, so the folders count
    assert labels_of(replace(other, label_column="breed")) == [2, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"metadata.jsonl": metadata(a=1, b=None)}, "1 of 2 images have no label, as b.png; use_labels: false"),
        ({"metadata.jsonl": metadata(a=1, b="cat")}, "line 2: label is 'cat'; it must be an integer from 0, or a name"),
        ({"metadata.jsonl": metadata(a="cat", b=1)}, "line 2: label is 1; it must be a name, as the first is"),
        ({"metadata.jsonl": metadata(a=1, b=-1)}, "line 2: label is -1; it must be an integer from 0"),
        ({"metadata.jsonl": metadata(a=1, b=True)}, "line 2: label is True; it must be an integer from 0"),
        ({"metadata.jsonl": f"{metadata(a=1)}\n{metadata(a=1)}"}, "line 2: a.png has had its label before"),
        ({"metadata.jsonl": "{"}, "line 1: "),
        ({"metadata.jsonl": '{"label": 1}'}, "line 1: needs file_name"),
        (
            {"metadata.jsonl": metadata(a=1, b=0), "dataset.json": document(a=1, b=0)},
            "metadata.jsonl and dataset.json could both be the labels; keep one",
        ),
    ],
)
def test_classes_in_metadata_that_could_mean_anything_are_named(tmp_path: Path, content: Content, message: str) -> None:
    source = folder(tmp_path, {"a.png": None, "b.png": None, **content})
    with pytest.raises(ValueError, match=re.escape(message)):
        source.check()
    assert labels_of(replace(source, use_labels=False)) is None
