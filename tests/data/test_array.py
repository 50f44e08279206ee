"""Images in NumPy files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.arrays import Arrays, save
from support.conditions import labels_in

from curriculum_search.data import Array, MemoryImages

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
LABELS = np.array([2, 0, 1, 0, 2, 2])


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
@pytest.mark.parametrize("names", [("images", "labels"), ("arr_0", "arr_1")])
def test_npz_files_are_read_in_either_layout_under_the_usual_names(
    tmp_path: Path, layout: str, names: tuple[str, str]
) -> None:
    stored = IMAGES if layout == "channels first" else IMAGES.transpose(0, 2, 3, 1)
    arrays: Arrays = {names[0]: stored, names[1]: LABELS.astype(np.int32)}
    source = Array(path=save(tmp_path / "a.npz", **arrays))
    source.check()
    image_set = source.load()
    images, condition = image_set.read(np.array([4, 1]))
    assert np.array_equal(images.numpy(), IMAGES[[4, 1]])
    assert labels_in(condition) == [2, 0]
    assert (image_set.num_classes, image_set.channels, image_set.resolution, len(image_set)) == (3, 3, 8, 6)


def test_grey_images_need_no_axis_for_channels_and_labels_can_be_left_out(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", images=IMAGES[:, 0], labels=LABELS)
    image_set = Array(path=path, use_labels=False).load()
    images, condition = image_set.read(np.arange(6))
    assert np.array_equal(images.numpy(), IMAGES[:, :1])
    assert labels_in(condition) is None


def test_npy_files_are_mapped_and_take_labels_from_a_file_of_their_own(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", LABELS)
    image_set = Array(path=str(tmp_path / "images.npy"), labels_path=str(tmp_path / "labels.npy")).load()
    images, condition = image_set.read(np.array([5, 5, 0]))
    assert isinstance(image_set, MemoryImages)
    assert isinstance(image_set.images, np.memmap)
    assert np.array_equal(images.numpy(), IMAGES[[5, 5, 0]])
    assert labels_in(condition) == [2, 2, 2]


def test_images_are_averaged_down_to_a_resolution_that_divides_theirs(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", images=IMAGES)
    images, _ = Array(path=path, resolution=4).load().read(np.arange(6))
    assert np.abs(images.numpy() - IMAGES.reshape(6, 3, 4, 2, 4, 2).mean(axis=(3, 5))).max() <= 0.5
    with pytest.raises(ValueError, match=r"a.npz: resolution 3 does not divide the images' 8"):
        Array(path=path, resolution=3).check()


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_an_archive_that_is_not_compressed_is_mapped_and_has_the_fingerprint_of_its_content(
    tmp_path: Path, layout: str, write: Callable[..., None]
) -> None:
    write(tmp_path / "a.npz", images=IMAGES if layout == "channels first" else IMAGES.transpose(0, 2, 3, 1))
    for _ in range(2):  # hashed, and known
        image_set = Array(path=str(tmp_path / "a.npz")).load_images()
        assert isinstance(image_set, MemoryImages)
        assert isinstance(image_set.images, np.memmap) == (write is np.savez)
        assert np.array_equal(image_set.images, IMAGES)
        assert image_set.fingerprint == MemoryImages("memory", IMAGES, None).fingerprint


def test_averaged_images_are_mapped_and_have_the_fingerprint_of_their_content(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", IMAGES)
    image_set = Array(path=str(tmp_path / "a.npy"), resolution=4).load_images()
    assert isinstance(image_set, MemoryImages)
    assert isinstance(image_set.images, np.memmap)
    assert image_set.fingerprint == MemoryImages("memory", np.array(image_set.images), None).fingerprint


def test_an_archive_with_a_damaged_array_is_named_by_the_check(tmp_path: Path) -> None:
    path = Path(save(tmp_path / "a.npz", images=IMAGES, labels=LABELS))
    content = bytearray(path.read_bytes())
    content[content.find(IMAGES.tobytes()) + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: images\.npy is damaged: its checksum is another"):
        Array(path=str(path)).check()


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
