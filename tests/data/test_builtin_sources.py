"""Images that come with packages."""

import pickle

import numpy as np
import pytest
import torch

from curriculum_search.data import DataSource, Digits, Relief, to_float, to_uint8
from curriculum_search.data.images import MemoryImages


def pixels(source: DataSource) -> np.ndarray:
    image_set = source.load()
    assert isinstance(image_set, MemoryImages)
    return image_set.images


def test_digits_are_scikit_learns_with_its_17_levels_spread_over_a_byte() -> None:
    from sklearn.datasets import load_digits

    theirs, ours = load_digits(), Digits().load()
    images, labels = ours.read(np.arange(len(ours)))
    assert (len(ours), ours.channels, ours.resolution, ours.num_classes) == (1797, 1, 8, 10)
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert labels is not None
    assert labels.tolist() == theirs.target.tolist()
    assert np.abs(images[:, 0].numpy() / 255 - theirs.images / 16).max() <= 0.5 / 255


@pytest.mark.parametrize("resolution", [16, 32])
def test_larger_digits_repeat_the_pixels_of_the_small_ones(resolution: int) -> None:
    factor = resolution // 8
    larger = pixels(Digits(resolution=resolution))
    assert larger.shape == (1797, 1, resolution, resolution)
    for dy in range(factor):
        for dx in range(factor):
            assert np.array_equal(larger[:, :, dy::factor, dx::factor], pixels(Digits()))


def test_digits_can_be_used_without_their_labels() -> None:
    image_set = Digits(use_labels=False).load()
    assert image_set.num_classes == 0
    assert image_set.read(np.arange(3))[1] is None
    assert image_set.fingerprint != Digits().load().fingerprint


def test_a_resolution_that_digits_do_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="resolution of digits must be 8, 16 or 32, not 12"):
        Digits(resolution=12)


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


def test_a_source_is_its_config_and_gives_the_same_set_again() -> None:
    source = pickle.loads(pickle.dumps(Digits(resolution=16)))
    assert source.load() is Digits(resolution=16).load()
    assert DataSource.from_dict({"kind": "digits", "resolution": 16}) == source


def test_pixels_survive_the_way_to_floats_and_back_and_floats_are_clipped() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = to_float(values)
    assert floats.min() == -1
    assert floats.max() == 1
    assert torch.equal(to_uint8(floats), values)
    assert to_uint8(torch.tensor([-3.0, 0.9999, 7.0])).tolist() == [0, 255, 255]
