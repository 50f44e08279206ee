"""Images in NumPy files."""

from pathlib import Path

import numpy as np
import pytest

from curriculum_search.data import Array

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
LABELS = np.array([2, 0, 1, 0, 2, 2])


def save(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
@pytest.mark.parametrize("names", [("images", "labels"), ("arr_0", "arr_1")])
def test_npz_files_are_read_in_either_layout_under_the_usual_names(
    tmp_path: Path, layout: str, names: tuple[str, str]
) -> None:
    stored = IMAGES if layout == "channels first" else IMAGES.transpose(0, 2, 3, 1)
    source = Array(path=save(tmp_path / "a.npz", **{names[0]: stored, names[1]: LABELS.astype(np.int32)}))
    source.check()
    image_set = source.load()
    images, labels = image_set.read(np.array([4, 1]))
    assert np.array_equal(images.numpy(), IMAGES[[4, 1]])
    assert labels is not None
    assert labels.tolist() == [2, 0]
    assert (image_set.num_classes, image_set.channels, image_set.resolution, len(image_set)) == (3, 3, 8, 6)


@pytest.mark.parametrize("images", ["images", "image", "arr_0", "x"])
@pytest.mark.parametrize("labels", ["labels", "label", "y", "arr_1", "targets", "target", "classes"])
def test_labels_are_found_under_any_usual_name_beside_images_under_any(
    tmp_path: Path, images: str, labels: str
) -> None:
    image_set = Array(path=save(tmp_path / "a.npz", **{images: IMAGES, labels: LABELS})).load()
    assert image_set.labels is not None
    assert image_set.labels.tolist() == LABELS.tolist()
    assert image_set.summary == "a 8x8: 6 colour images of 8x8 pixels; 3 classes (1 to 3 images each)"


def test_what_is_not_read_of_a_file_is_named(tmp_path: Path) -> None:
    arrays = {"images": IMAGES, "labels": LABELS, "names": np.array(["a", "b"]), "boxes": np.zeros((6, 4))}
    path = save(tmp_path / "a.npz", **arrays)
    assert Array(path=path).load().summary.endswith("; passed over: 1 array names, 1 array boxes")
    unlabelled = Array(path=path, use_labels=False).load().summary
    assert unlabelled.endswith("; no labels; passed over: 1 array labels, 1 array names, 1 array boxes")
    objects = save(tmp_path / "b.npz", images=IMAGES, names=np.array([None, "b"], dtype=object))
    assert Array(path=objects).load().summary.endswith("; no labels; passed over: 1 array names")


@pytest.mark.parametrize("arrays", [{"labels": LABELS}, {"y": LABELS, "split": LABELS}, {"anything": LABELS}])
def test_a_file_of_labels_has_them_under_a_usual_name_or_alone(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
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


def test_grey_images_need_no_axis_for_channels_and_labels_can_be_left_out(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", images=IMAGES[:, 0], labels=LABELS)
    image_set = Array(path=path, use_labels=False).load()
    images, labels = image_set.read(np.arange(6))
    assert np.array_equal(images.numpy(), IMAGES[:, :1])
    assert labels is None


def test_npy_files_are_mapped_and_take_labels_from_a_file_of_their_own(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", LABELS)
    image_set = Array(path=str(tmp_path / "images.npy"), labels_path=str(tmp_path / "labels.npy")).load()
    images, labels = image_set.read(np.array([5, 5, 0]))
    assert isinstance(image_set.images, np.memmap)
    assert np.array_equal(images.numpy(), IMAGES[[5, 5, 0]])
    assert labels is not None
    assert labels.tolist() == [2, 2, 2]


def test_images_are_averaged_down_to_a_resolution_that_divides_theirs(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", images=IMAGES)
    images, _ = Array(path=path, resolution=4).load().read(np.arange(6))
    assert np.abs(images.numpy() - IMAGES.reshape(6, 3, 4, 2, 4, 2).mean(axis=(3, 5))).max() <= 0.5
    with pytest.raises(ValueError, match=r"a.npz: resolution 3 does not divide the images' 8"):
        Array(path=path, resolution=3).check()


def test_the_reference_is_the_training_images_or_another_file_at_their_resolution(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", images=IMAGES)
    other = save(tmp_path / "b.npz", images=RNG.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8))
    assert Array(path=path).reference() is Array(path=path).load()
    reference = Array(path=path, reference_path=other).reference()
    assert (len(reference), reference.resolution) == (3, 8)
    grey = save(tmp_path / "grey.npz", images=IMAGES[:, :1])
    with pytest.raises(ValueError, match=r"reference_path: .*grey.npz has 1 channels, while path has 3"):
        Array(path=path, reference_path=grey).check()


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    source = Array(path=save(tmp_path / "a.npz", images=IMAGES))
    before = source.load().fingerprint
    save(tmp_path / "a.npz", images=IMAGES[:5])
    assert len(source.load()) == 5
    assert source.load().fingerprint != before


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
def test_what_cannot_be_trained_on_is_named(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    path = save(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=rf"bad.npz: .*{message}"):
        Array(path=path).check()


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.npz does not exist \(looked for /"):
        Array(path="nowhere.npz").check()
    whole = Path(save(tmp_path / "cut.npz", images=IMAGES)).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut.npz: "):
        Array(path=str(tmp_path / "cut.npz")).check()
    (tmp_path / "text.npy").write_text("not an array")
    with pytest.raises(ValueError, match=r"text.npy: "):
        Array(path=str(tmp_path / "text.npy")).check()
