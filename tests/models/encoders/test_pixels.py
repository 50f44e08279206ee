import numpy as np
import torch

from curriculum_search.data import MemoryImages
from curriculum_search.models.encoders import PIXELS

IMAGES = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


def test_pixels_lie_between_minus_one_and_one_and_come_back_as_they_were() -> None:
    codec = PIXELS.load(torch.device("cpu"))
    values = codec.encode(IMAGES, None)
    assert (float(values.min()), float(values.max())) == (-1, 1)
    assert PIXELS.bounded
    assert not codec.draws
    decoded = codec.decode(values)
    assert torch.equal(decoded.images, IMAGES)
    assert decoded.finite


def test_the_network_sees_the_images_own_shape() -> None:
    assert PIXELS.shape_of(MemoryImages("flat", np.zeros((2, 3, 4, 4), np.uint8), None)) == (3, 4, 4)


def test_a_pixel_that_is_not_finite_is_told_though_it_is_rounded() -> None:
    codec = PIXELS.load(torch.device("cpu"))
    for bad in (torch.nan, torch.inf):
        assert not codec.decode(torch.tensor([[[[0.0, bad]]]])).finite
