"""Digits that come with scikit-learn."""

import pickle
from typing import Literal

import numpy as np
import pytest
import torch
from support.conditions import labels_in
from support.image_files import pixels

from curriculum_search.data import DataSource, Digits, digits


def test_digits_are_scikit_learns_with_its_17_levels_spread_over_a_byte() -> None:
    from sklearn.datasets import load_digits

    theirs, ours = load_digits(), Digits().load()
    images, condition = ours.read(np.arange(len(ours)))
    assert (len(ours), ours.channels, ours.resolution, ours.num_classes) == (1797, 1, 8, 10)
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert labels_in(condition) == theirs.target.tolist()
    assert np.abs(images[:, 0].numpy() / 255 - theirs.images / 16).max() <= 0.5 / 255


@pytest.mark.parametrize("resolution", [16, 32])
def test_larger_digits_repeat_the_pixels_of_the_small_ones(resolution: Literal[16, 32]) -> None:
    factor = resolution // 8
    larger = pixels(Digits(resolution=resolution))
    assert larger.shape == (1797, 1, resolution, resolution)
    for dy in range(factor):
        for dx in range(factor):
            assert np.array_equal(larger[:, :, dy::factor, dx::factor], pixels(Digits()))


def test_digits_can_be_used_without_their_labels() -> None:
    image_set = Digits(use_labels=False).load()
    assert image_set.num_classes == 0
    assert labels_in(image_set.read(np.arange(3))[1]) is None
    assert image_set.fingerprint != Digits().load().fingerprint


def test_a_resolution_that_digits_do_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="resolution of digits must be 8, 16 or 32, not 12"):
        DataSource.from_dict({"kind": "digits", "resolution": 12})


def test_a_source_is_its_config_and_gives_the_same_set_again() -> None:
    source = pickle.loads(pickle.dumps(Digits(resolution=16)))
    assert source.load() is Digits(resolution=16).load()
    assert DataSource.from_dict({"kind": "digits", "resolution": 16}) == source


def test_without_scikit_learn_the_check_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    Digits().check()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"data kind digits needs scikit-learn: pip install 'curriculum-search\[search\]'"
    ):
        Digits().check()
