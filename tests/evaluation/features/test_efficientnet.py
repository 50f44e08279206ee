"""EfficientNet, whose weights come as a package."""

import sys

import pytest
import torch
from torch import Tensor

from curriculum_search.data import MemoryImages
from curriculum_search.evaluation import EfficientNetLite0, Sources


def test_efficientnet_has_1280_features_of_grey_and_colour_and_knows_a_daisy(sources: Sources, images: Tensor) -> None:
    from sklearn.datasets import load_sample_image

    features = EfficientNetLite0(resolution=224).load(sources)
    flower = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)[None, :, :, 106:533]
    with torch.no_grad():
        rows, probabilities = features.with_probabilities(flower)
        grey = EfficientNetLite0().load(sources)(images[:4])
    assert rows.shape == (1, 1280)
    assert grey.shape == (4, 1280)
    assert probabilities.argmax() == 985  # daisy among ImageNet's classes
    assert EfficientNetLite0().label == "efficientnet_lite0_64px"
    assert EfficientNetLite0(resolution=224).label == "efficientnet_lite0"


def test_a_missing_package_is_named_with_the_extra_that_has_it(
    digits: MemoryImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "efficientnet_lite_pytorch")
    with pytest.raises(
        ValueError, match=r"needs efficientnet_lite_pytorch: pip install 'curriculum-search\[features\]'"
    ):
        EfficientNetLite0().check(digits, digits)


@pytest.mark.parametrize("resolution", [0, 16, 72])
def test_a_resolution_that_the_network_cannot_halve_five_times_is_refused(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"resolution must be a multiple of 32, not {resolution}"):
        EfficientNetLite0(resolution=resolution)
