"""Archives of image files."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.image_files import archive, edm_zip, everything, labels_of, picture, write

from curriculum_search.data import Zip


def test_an_edm_archive_gives_its_images_and_labels(tmp_path: Path) -> None:
    names = [f"00000/img{i:08d}.png" for i in range(5)]
    stored = edm_zip(tmp_path / "set.zip", names, [[name, i % 3] for i, name in enumerate(names)][::-1])
    images, labels = everything(Zip(path=str(tmp_path / "set.zip")))
    assert np.array_equal(images, stored)
    assert labels == [0, 1, 2, 0, 1]
    edm_zip(tmp_path / "plain.zip", names)
    assert everything(Zip(path=str(tmp_path / "plain.zip")))[1] is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["a.png", 0]], "dataset.json: b.png has no label"),
        ([["a.png", 0], ["b.png", [0.0, 1.0]]], r"b.png has the label \[0.0, 1.0\]; it must be an integer from 0"),
        ([["a.png", 0], ["b.png", -1]], "b.png has the label -1"),
        ({"a.png": 0}, r"dataset.json is not \{"),
    ],
)
def test_bad_labels_of_an_archive_are_named(tmp_path: Path, labels: object, message: str) -> None:
    edm_zip(tmp_path / "set.zip", ["a.png", "b.png"], labels)
    with pytest.raises(ValueError, match=message):
        Zip(path=str(tmp_path / "set.zip")).check()


def test_folders_in_an_archive_from_windows_are_folders(tmp_path: Path) -> None:
    source = archive(tmp_path, {"cat/0.png": None, "dog/0.png": None})
    raw = Path(source.path).read_bytes().replace(b"cat/0.png", b"cat\\0.png").replace(b"dog/0.png", b"dog\\0.png")
    Path(source.path).write_bytes(raw)
    assert labels_of(source) == [0, 1]


def test_archives_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"path: nowhere\.zip does not exist \(looked for /"):
        Zip(path="nowhere.zip").check()
    write(tmp_path / "stray.png", picture())
    with pytest.raises(ValueError, match=r"stray\.png is not a zip archive"):
        Zip(path=str(tmp_path / "stray.png")).check()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(ValueError, match=r"empty\.zip: no image in it"):
        Zip(path=str(tmp_path / "empty.zip")).check()


def test_members_are_opened_by_what_is_remembered_of_them(tmp_path: Path) -> None:
    stored = [write(tmp_path / f"{i}.png", picture()) for i in range(3)]
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as target:
        for i, method in enumerate((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)):
            target.write(tmp_path / f"{i}.png", f"ü/{i}.png", compress_type=method)
    images, labels = everything(Zip(path=str(tmp_path / "set.zip")))
    assert np.array_equal(images, np.stack(stored).transpose(0, 3, 1, 2))
    assert labels == [0, 0, 0]
    content = (tmp_path / "set.zip").read_bytes()
    at = content.find(b"IDAT") + 10
    (tmp_path / "set.zip").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(ValueError, match=r"ü/0\.png: .*(CRC|broken|bad|incorrect)"):
        Zip(path=str(tmp_path / "set.zip")).check()
