"""Image files: what they are found to be, and what becomes of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.image_files import everything, picture, write

from curriculum_search.data import Folder

RNG = np.random.default_rng(0)


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
