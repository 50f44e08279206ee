"""Which array of a NumPy file is what."""

from pathlib import Path

import numpy as np
import pytest
from support.arrays import Arrays, save

from curriculum_search.data import Array, array_file

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
LABELS = np.array([2, 0, 1, 0, 2, 2])


@pytest.mark.parametrize("images", ["images", "image", "arr_0", "x"])
@pytest.mark.parametrize("labels", ["labels", "label", "y", "arr_1", "targets", "target", "classes"])
def test_labels_are_found_under_any_usual_name_beside_images_under_any(
    tmp_path: Path, images: str, labels: str
) -> None:
    arrays: Arrays = {images: IMAGES, labels: LABELS}
    image_set = Array(path=save(tmp_path / "a.npz", **arrays)).load()
    assert image_set.labels is not None
    assert image_set.labels.tolist() == LABELS.tolist()
    assert image_set.summary == "a 8x8: 6 colour images of 8x8 pixels; 3 classes (1 to 3 images each)"


def test_what_is_not_read_of_a_file_is_named(tmp_path: Path) -> None:
    names, boxes = np.array(["a", "b"]), np.zeros((6, 4))
    arrays: Arrays = {"images": IMAGES, "labels": LABELS, "names": names, "boxes": boxes}
    path = save(tmp_path / "a.npz", **arrays)
    assert Array(path=path).load().summary.endswith("; passed over: 1 array names, 1 array boxes")
    unlabelled = Array(path=path, use_labels=False).load().summary
    assert unlabelled.endswith("; no labels; passed over: 1 array labels, 1 array names, 1 array boxes")
    objects = save(tmp_path / "b.npz", images=IMAGES, names=np.array([None, "b"], dtype=object))
    assert Array(path=objects).load().summary.endswith("; no labels; passed over: 1 array names")


@pytest.mark.parametrize("arrays", [{"labels": LABELS}, {"y": LABELS, "split": LABELS}, {"anything": LABELS}])
def test_a_file_of_labels_has_them_under_a_usual_name_or_alone(tmp_path: Path, arrays: Arrays) -> None:
    images = save(tmp_path / "images.npz", images=IMAGES, labels=LABELS * 0)
    source = Array(path=images, labels_path=save(tmp_path / "labels.npz", **arrays))
    source.check()
    labels = source.load().labels
    assert labels is not None
    assert labels.tolist() == LABELS.tolist()


def test_a_file_of_labels_that_are_not_clear_or_do_not_fit_is_named(tmp_path: Path) -> None:
    images = save(tmp_path / "images.npz", images=IMAGES)
    two = save(tmp_path / "two.npz", fine=LABELS, coarse=LABELS)
    with pytest.raises(ValueError, match=r"two\.npz: no array named labels, label, .*, only fine, coarse"):
        Array(path=images, labels_path=two).check()
    short = save(tmp_path / "short.npz", labels=LABELS[:4])
    with pytest.raises(ValueError, match=r"short\.npz: labels must be \[6\]"):
        Array(path=images, labels_path=short).check()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES / 255.0}, "images must be uint8 in 0..255, not float64"),
        (
            {"images": IMAGES[:, :2]},
            r"images must be \[N, H, W, C\] or \[N, C, H, W\] with C 1 or 3, not \[6, 2, 8, 8\]",
        ),
        ({"images": IMAGES[..., :6]}, "images must be square, not 8x6"),
        (
            {"images": np.zeros((4, 16, 24, 3), np.uint8)},
            r"images must be square, not 16x24, as those of \[4, 16, 24, 3\]",
        ),
        (
            {"images": np.zeros((4, 3, 24, 16), np.uint8)},
            r"images must be square, not 24x16, as those of \[4, 3, 24, 16\]",
        ),
        ({"images": np.zeros((4, 16, 24, 1), np.uint8)}, "images must be square, not 16x24"),
        ({"images": np.zeros((4, 16, 24), np.uint8)}, "images must be square, not 16x24"),
        ({"images": IMAGES[:0]}, "no image in it"),
        ({"images": IMAGES, "arr_0": IMAGES}, "arrays images or arr_0: it is not clear which is meant"),
        ({"images": IMAGES, "labels": LABELS, "y": LABELS}, "arrays labels or y: it is not clear which is meant"),
        ({"images": IMAGES, "fine_labels": LABELS}, "array fine_labels has a whole number for each image and could be"),
        ({"images": IMAGES, "cls": LABELS[:, None]}, "array cls has a whole number for each image and could be labels"),
        ({"pictures": IMAGES}, "no array named images, image, arr_0 or x, only pictures"),
        ({"images": IMAGES, "labels": LABELS[:5]}, r"labels must be \[6\], one for each image, not \[5\]"),
        ({"images": IMAGES, "labels": LABELS / 2}, "labels must be integers, not float64"),
        ({"images": IMAGES, "labels": LABELS - 1}, "labels must not be negative: image 1 has -1"),
        ({"images": np.array([None])}, "Object arrays cannot be loaded"),
    ],
)
def test_what_cannot_be_trained_on_is_named(tmp_path: Path, arrays: Arrays, message: str) -> None:
    path = save(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=rf"bad.npz: .*{message}"):
        Array(path=path).check()


def test_a_file_gives_images_labels_and_the_names_of_the_rest(tmp_path: Path) -> None:
    images, numbers = IMAGES.transpose(0, 2, 3, 1), LABELS.astype(np.uint8)
    with array_file(Path(save(tmp_path / "a.npz", image=images, y=numbers, extra=RNG.random(3)))) as file:
        assert np.array_equal(file.images(), IMAGES)
        labels = file.labels(6)
        assert labels is not None
        assert labels.dtype == np.int64
        assert labels.tolist() == LABELS.tolist()
        assert file.others(use_labels=True) == {"array extra": 1}
        assert file.others(use_labels=False) == {"array y": 1, "array extra": 1}


def test_an_npy_file_is_one_array_that_is_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", LABELS)
    with array_file(tmp_path / "images.npy") as file:
        assert isinstance(file.images(), np.memmap)
        assert file.labels(6) is None
        assert file.others(use_labels=True) == {}
    with array_file(tmp_path / "labels.npy") as file:
        assert file.labels_alone(6).tolist() == LABELS.tolist()


def test_three_or_one_in_the_last_place_are_channels_unless_only_the_second_can_be(tmp_path: Path) -> None:
    for stored, read in (((4, 1, 1, 3), (4, 3, 1, 1)), ((4, 3, 1, 1), (4, 3, 1, 1)), ((4, 1, 1), (4, 1, 1, 1))):
        with array_file(Path(save(tmp_path / "a.npz", images=np.zeros(stored, np.uint8)))) as file:
            assert file.images().shape == read
