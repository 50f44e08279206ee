"""What all extractors have in common."""

import pytest
import torch
from torch import Tensor

from curriculum_search.diffusion import DDIMSampler
from curriculum_search.evaluation import Classifier, Pixels, Sources
from curriculum_search.evaluation.features import Features, describe
from curriculum_search.evaluation.features.extractor import as_rgb, share_from_first


class Means(Features):
    """The mean of each image."""

    dimension, checksum, words = 1, "means", "means of images"

    def __call__(self, images: Tensor) -> Tensor:
        return images.float().mean((1, 2, 3))[:, None]


def test_a_part_is_described_by_its_kind_and_all_its_settings() -> None:
    assert describe(DDIMSampler(num_steps=3)) == "ddim(num_steps=3, eta=0.0, clip_x0=True)"
    assert describe(Pixels(num_components=5)) == "pixels(num_components=5)"


def test_an_extractor_tells_no_classes_unless_it_says_so(images: Tensor, sources: Sources) -> None:
    assert Means.num_classes == 0
    with pytest.raises(ValueError, match=r"^means of images tells no classes$"):
        Means().with_probabilities(images)
    assert not Pixels().tells_classes
    with pytest.raises(ValueError, match=r"^first 3 principal components of .* tells no classes$"):
        Pixels(num_components=3).load(sources).with_probabilities(images)
    assert Classifier().tells_classes


def test_grey_images_become_three_equal_channels_and_colour_stays(images: Tensor) -> None:
    colour = as_rgb(images)
    assert colour.shape == (len(images), 3, 8, 8)
    assert all(torch.equal(colour[:, i : i + 1], images) for i in range(3))
    assert as_rgb(colour) is colour


def test_a_single_worker_shares_what_it_has_with_itself() -> None:
    mine = [torch.arange(3.0), torch.arange(4)]
    shared = share_from_first(mine, torch.device("cpu"))
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(mine, shared, strict=True))
