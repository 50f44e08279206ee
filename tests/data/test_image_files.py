"""Folders and archives of image files."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curriculum_search.data import DataSource, Folder, Zip

RNG = np.random.default_rng(0)


def picture(height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    array = RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)
    return array if channels > 1 else array[..., 0]


def write(path: Path, array: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return array


def edm_zip(path: Path, names: list[str], labels: object = None, size: int = 8) -> np.ndarray:
    """An archive as EDM's dataset_tool writes it: uncompressed PNGs in numbered folders, then dataset.json."""
    arrays = [picture(size, size) for _ in names]
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_STORED) as archive:
        for name, array in zip(names, arrays, strict=True):
            with archive.open(name, "w") as stream:
                Image.fromarray(array).save(stream, format="png", compress_level=0)
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    return np.stack(arrays).transpose(0, 3, 1, 2)


def everything(source: DataSource) -> tuple[np.ndarray, list[int] | None]:
    source.check()
    image_set = source.load()
    images, labels = image_set.read(np.arange(len(image_set)))
    return images.numpy(), None if labels is None else labels.tolist()


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


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif", "TIFF"])
def test_other_formats_are_read_as_pillow_reads_them(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(picture()).save(tmp_path / f"0.{suffix}")
    images, _ = everything(Folder(path=str(tmp_path)))
    with Image.open(tmp_path / f"0.{suffix}") as image:
        assert np.array_equal(images[0], np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def test_images_lie_upright_and_transparent_pixels_are_white(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "1.png")
    clear = np.concatenate([picture(), np.zeros((8, 8, 1), np.uint8)], axis=2)
    write(tmp_path / "2.png", clear)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    turned = picture()
    Image.fromarray(turned).save(tmp_path / "3.png", exif=exif)
    images, _ = everything(Folder(path=str(tmp_path)))
    assert (images[1] == 255).all()
    assert np.array_equal(images[2], np.rot90(turned, -1).transpose(2, 0, 1))


def test_images_are_scaled_down_and_cropped_to_the_middle_on_demand(tmp_path: Path) -> None:
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, 4:12] = 200
    write(tmp_path / "wide.png", wide)
    write(tmp_path / "square.png", np.full((32, 32, 3), 90, np.uint8))
    images, _ = everything(Folder(path=str(tmp_path), resolution=8, crop="center"))
    assert (images[0] == 90).all()
    assert (images[1] == 200).all()


def test_an_edm_archive_gives_its_images_and_labels(tmp_path: Path) -> None:
    names = [f"00000/img{i:08d}.png" for i in range(5)]
    stored = edm_zip(tmp_path / "set.zip", names, [[name, i % 3] for i, name in enumerate(names)][::-1])
    images, labels = everything(Zip(path=str(tmp_path / "set.zip")))
    assert np.array_equal(images, stored)
    assert labels == [0, 1, 2, 0, 1]
    edm_zip(tmp_path / "plain.zip", names)
    assert everything(Zip(path=str(tmp_path / "plain.zip")))[1] is None


def test_a_folder_that_dataset_tool_wrote_takes_its_labels_and_not_its_subfolders(tmp_path: Path) -> None:
    for name in ("00000/a.png", "00001/b.png"):
        write(tmp_path / name, picture())
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": [["00000/a.png", 4], ["00001/b.png", 4]]}))
    assert everything(Folder(path=str(tmp_path)))[1] == [4, 4]


def test_reading_again_from_memory_from_files_and_from_many_threads_gives_the_same(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    stored = edm_zip(tmp_path / "set.zip", [f"{i:03d}.png" for i in range(40)])
    half = 20 * 3 * 8 * 8 / 2**30
    for cache_gib in (0.0, half, 1.0):
        image_set = Zip(path=str(tmp_path / "set.zip"), cache_gib=cache_gib).load()
        draws = [RNG.integers(0, 40, 16) for _ in range(40)]
        with ThreadPoolExecutor(4) as pool:
            for draw, (images, _) in zip(draws, pool.map(image_set.read, draws), strict=True):
                assert np.array_equal(images.numpy(), stored[draw])


def test_the_fingerprint_follows_content_and_settings(tmp_path: Path) -> None:
    names = ["a.png", "b.png"]
    edm_zip(tmp_path / "1.zip", names, [["a.png", 0], ["b.png", 1]], size=16)
    (tmp_path / "2.zip").write_bytes((tmp_path / "1.zip").read_bytes())
    edm_zip(tmp_path / "3.zip", names, [["a.png", 0], ["b.png", 1]], size=16)
    prints = [Zip(path=str(tmp_path / f"{i}.zip")).load().fingerprint for i in (1, 2, 3)]
    assert prints[0] == prints[1] != prints[2]
    first = str(tmp_path / "1.zip")
    variants = [Zip(path=first), Zip(path=first, resolution=8), Zip(path=first, channels=1)]
    assert len({v.load().fingerprint for v in [*variants, Zip(path=first, use_labels=False)]}) == 4


def test_a_folder_that_grows_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "x" / "0.png", picture())
    source = Folder(path=str(tmp_path))
    before = source.load().fingerprint
    write(tmp_path / "x" / "1.png", picture())
    assert len(source.load()) == 2
    assert source.load().fingerprint != before


def test_the_reference_can_be_another_folder_at_the_training_resolution(tmp_path: Path) -> None:
    write(tmp_path / "train" / "0.png", picture())
    write(tmp_path / "test" / "0.png", picture(16, 16))
    write(tmp_path / "grey" / "0.png", picture(channels=1))
    train, test, grey = (str(tmp_path / name) for name in ("train", "test", "grey"))
    source = Folder(path=train, reference_path=test)
    source.check()
    assert source.reference().resolution == 8
    assert Folder(path=train).reference() is Folder(path=train).load()
    with pytest.raises(ValueError, match=r"reference_path: .*grey: 1 channels, while path has 3"):
        Folder(path=train, reference_path=grey).check()
    with pytest.raises(FileNotFoundError, match="reference_path: nowhere does not exist"):
        Folder(path=train, reference_path="nowhere").check()


def test_every_unusable_file_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    for i in range(5):
        write(tmp_path / f"good{i}.png", picture())
    write(tmp_path / "0wide.png", picture(8, 9))
    write(tmp_path / "1large.png", picture(16, 16))
    write(tmp_path / "2grey.png", picture(channels=1))
    (tmp_path / "3text.png").write_text("no image")
    Image.fromarray(RNG.integers(0, 2**16, (8, 8), dtype=np.uint16)).save(tmp_path / "4deep.png")
    with pytest.raises(ValueError, match=r"^path: ") as caught:
        Folder(path=str(tmp_path)).check()
    message = str(caught.value)
    for words in (
        "0wide.png: is 9x8, not square; crop: center",
        "1large.png: is 16x16 while others are 8x8; crop: center",
        "2grey.png: is grey while others are colour; channels: 1 or 3 converts all",
        "3text.png: not an image",
        "4deep.png: has pixels of mode I;16; only 8 bits",
    ):
        assert words in message
    assert "good" not in message


def test_a_truncated_image_is_named_by_the_check_and_by_reading(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / f"{i}.png", picture(64, 64))
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:3000])
    source = Folder(path=str(tmp_path))
    with pytest.raises(ValueError, match=r"1\.png: .*truncated"):
        source.check()
    with pytest.raises(ValueError, match=r"1\.png: .*truncated"):
        source.load().read(np.arange(3))


def test_a_long_list_of_faults_is_cut(tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / f"{i}.png").write_text("no image")
    with pytest.raises(ValueError, match=r"not an image; and 7 more$"):
        Folder(path=str(tmp_path)).check()


def test_images_smaller_than_the_resolution_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "0.png", picture())
    for crop in ("none", "center"):
        with pytest.raises(ValueError, match=r"0\.png: is 8x8, smaller than the resolution 16"):
            Folder(path=str(tmp_path), resolution=16, crop=crop).check()


def test_channels_converts_a_mixed_folder(tmp_path: Path) -> None:
    write(tmp_path / "0.png", picture(channels=1))
    colour = write(tmp_path / "1.png", picture())
    images, _ = everything(Folder(path=str(tmp_path), channels=3))
    assert images.shape == (2, 3, 8, 8)
    assert (images[0, 0] == images[0, 2]).all()
    grey, _ = everything(Folder(path=str(tmp_path), channels=1))
    assert np.array_equal(grey[1, 0], np.asarray(Image.fromarray(colour).convert("L")))


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


def test_folders_and_archives_that_cannot_be_used_are_named(tmp_path: Path) -> None:
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
    with pytest.raises(ValueError, match=r"stray\.png is not a zip archive"):
        Zip(path=str(tmp_path / "stray.png")).check()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(ValueError, match=r"empty\.zip: no image in it"):
        Zip(path=str(tmp_path / "empty.zip")).check()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"resolution": 0}, "resolution must be at least 1, not 0"),
        ({"channels": 2}, "channels must be 1, 3 or null, not 2"),
        ({"crop": "middle"}, "crop must be none or center, not middle"),
        ({"crop": "center"}, "crop: center needs a resolution"),
        ({"cache_gib": -1.0}, r"cache_gib must not be negative, not -1\.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataSource.from_dict({"kind": "folder", "path": "x", **fields})
