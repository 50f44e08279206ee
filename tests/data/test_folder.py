"""Folders of image files."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.image_files import everything, folder, labels_of, loaded, picture, write

from curriculum_search.data import Folder


def test_a_flat_folder_gives_its_images_by_name_without_labels(tmp_path: Path) -> None:
    b, a = write(tmp_path / "b.png", picture()), write(tmp_path / "a.bmp", picture())
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._a.png").write_text("left by macOS")
    images, labels = everything(Folder(path=str(tmp_path)))
    assert np.array_equal(images, np.stack([a, b]).transpose(0, 3, 1, 2))
    assert labels is None


def test_class_folders_are_labels_in_the_order_of_their_names(tmp_path: Path) -> None:
    arrays = [
        write(tmp_path / name, picture(channels=1))
        for name in ("cat/1.png", "cat/deep/0.png", "dog/0.png", "eel/9.png")
    ]
    images, labels = everything(Folder(path=str(tmp_path)))
    assert np.array_equal(images[:, 0], np.stack(arrays))
    assert labels == [0, 0, 1, 2]
    assert Folder(path=str(tmp_path)).load().num_classes == 3
    assert everything(Folder(path=str(tmp_path), use_labels=False))[1] is None


def test_a_folder_that_dataset_tool_wrote_takes_its_labels_and_not_its_subfolders(tmp_path: Path) -> None:
    for name in ("00000/a.png", "00001/b.png"):
        write(tmp_path / name, picture())
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": [["00000/a.png", 4], ["00001/b.png", 4]]}))
    assert everything(Folder(path=str(tmp_path)))[1] == [4, 4]


def test_a_folder_that_grows_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "x" / "0.png", picture())
    source = Folder(path=str(tmp_path))
    before = source.load().fingerprint
    write(tmp_path / "x" / "1.png", picture())
    assert len(source.load()) == 2
    assert source.load().fingerprint != before


def test_a_link_to_what_is_read_anyway_is_not_followed(tmp_path: Path) -> None:
    source = folder(tmp_path, {"a/0.png": None, "b/0.png": None})
    root = Path(source.path)
    (root / "a" / "up").symlink_to("..")
    (root / "b" / "far").symlink_to(tmp_path)
    (root / "c").symlink_to("a")
    assert labels_of(source) == [0, 1]
    expected = "2 colour images of 8x8 pixels; 2 classes (1 a, 1 b); passed over: 3 link to what is read anyway"
    assert loaded(source).summary == f"set 8x8: {expected}"


def test_a_link_to_a_folder_elsewhere_is_followed_once(tmp_path: Path) -> None:
    (tmp_path / "store" / "loop").mkdir(parents=True)
    write(tmp_path / "store" / "0.png", picture())
    (tmp_path / "store" / "loop" / "back").symlink_to(tmp_path / "store")
    source = folder(tmp_path, {"a/0.png": None})
    for name in ("b", "c"):
        (Path(source.path) / name).symlink_to(tmp_path / "store")
    image_set = loaded(source)
    assert (len(image_set), image_set.class_names) == (2, ("a", "b"))
    assert image_set.skipped == {"link to what is read anyway": 2}


def test_a_link_to_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    source = folder(tmp_path, {"0.png": None})
    (Path(source.path) / "1.png").symlink_to("nowhere.png")
    with pytest.raises(ValueError, match=r"set: 1\.png: No such file"):
        source.check()


def test_folders_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"path: nowhere does not exist \(looked for /"):
        Folder(path="nowhere").check()
    with pytest.raises(ValueError, match="no image in it"):
        Folder(path=str(tmp_path)).check()
    write(tmp_path / "cats" / "0.png", picture())
    write(tmp_path / "stray.png", picture())
    with pytest.raises(ValueError, match=r"stray\.png lies beside the class folders, so it has no label"):
        Folder(path=str(tmp_path)).check()
    with pytest.raises(ValueError, match=r"stray\.png is not a folder"):
        Folder(path=str(tmp_path / "stray.png")).check()
