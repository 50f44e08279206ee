"""What every set of images has, and every source of one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from support.conditions import labels_in

from curriculum_search.data import DataSource, ImageSet, MemoryImages, to_float, to_uint8
from curriculum_search.data.images import content_hash, existing, file_stamp

IMAGES = np.arange(5 * 3 * 2 * 2, dtype=np.uint8).reshape(5, 3, 2, 2)
LABELS = np.array([1, 0, 1, 1, 2])


@dataclass(frozen=True, kw_only=True)
class Counted(DataSource):
    """A source that tells how often it was built."""

    kind: Literal["counted_of_a_test"] = "counted_of_a_test"
    name: str
    file: str = ""

    def stamp(self) -> str:
        return file_stamp(existing(self.file)) if self.file else ""

    def load_images(self) -> ImageSet:
        BUILT.append(self.name)
        return MemoryImages(self.name, IMAGES, None)


BUILT: list[str] = []


def test_pixels_survive_the_way_to_floats_and_back_and_floats_are_clipped() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = to_float(values)
    assert floats.min() == -1
    assert floats.max() == 1
    assert torch.equal(to_uint8(floats), values)
    assert to_uint8(torch.tensor([-3.0, 0.9999, 7.0])).tolist() == [0, 255, 255]


def test_a_set_tells_its_size_its_classes_and_what_lay_beside_it() -> None:
    image_set = MemoryImages("five", IMAGES, LABELS, skipped={".txt": 2, "hidden": 1})
    assert (len(image_set), image_set.channels, image_set.resolution, image_set.num_classes) == (5, 3, 2, 3)
    assert image_set.num_bytes == IMAGES.nbytes
    assert image_set.summary == (
        "five: 5 colour images of 2x2 pixels; 3 classes (1 to 3 images each); passed over: 2 .txt, 1 hidden"
    )
    grey = MemoryImages("grey", IMAGES[:, :1], np.zeros(5, np.int64))
    assert grey.summary == "grey: 5 grey images of 2x2 pixels; 1 class (5 to 5 images each)"


def test_images_are_read_by_their_numbers_with_their_labels() -> None:
    images, condition = MemoryImages("five", IMAGES, LABELS).read(np.array([4, 0, 4]))
    assert np.array_equal(images.numpy(), IMAGES[[4, 0, 4]])
    assert labels_in(condition) == [2, 1, 2]


def test_the_fingerprint_follows_pixels_shape_and_labels() -> None:
    changed = IMAGES.copy()
    changed[0, 0, 0, 0] += 1
    variants = [
        (IMAGES, None),
        (IMAGES, LABELS),
        (IMAGES, LABELS + 1),
        (changed, None),
        (IMAGES.reshape(5, 1, 3, 4), None),
    ]
    assert len({content_hash(images, labels) for images, labels in variants}) == 5
    assert MemoryImages("a", IMAGES, LABELS).fingerprint == MemoryImages("b", IMAGES.copy(), LABELS).fingerprint
    assert MemoryImages("a", IMAGES, LABELS, "given").fingerprint == "given"


def test_a_source_is_built_once_until_its_files_change_and_two_sets_are_kept(tmp_path: Path) -> None:
    BUILT.clear()
    file = tmp_path / "file"
    file.write_text("a")
    source = Counted(name="a", file=str(file))
    assert source.load() is Counted(name="a", file=str(file)).load() is source.reference()
    file.write_text("longer")
    source.load()
    assert BUILT == ["a", "a"]
    for name in ("b", "c", "b", "c"):
        Counted(name=name).load()
    assert BUILT == ["a", "a", "b", "c"]
    source.load()
    assert BUILT == ["a", "a", "b", "c", "a"]


def test_a_source_is_named_by_its_kind_and_has_to_say_how_it_is_checked() -> None:
    source = Counted(name="a")
    assert source.where == "counted_of_a_test"
    with pytest.raises(NotImplementedError):
        source.check()


def test_a_path_that_does_not_exist_is_named_as_given_and_as_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "there").write_text("")
    assert existing("~/there") == tmp_path / "there"
    with pytest.raises(FileNotFoundError, match=rf"^~/nowhere does not exist \(looked for {tmp_path}/nowhere\)$"):
        existing("~/nowhere")
