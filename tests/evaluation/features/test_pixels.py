"""Principal components as features."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum_search.data import MemoryImages, to_float
from curriculum_search.evaluation import Pixels, Sources


def test_pixels_are_principal_components_as_numpy_finds_them(
    sources: Sources, digits: MemoryImages, images: Tensor
) -> None:
    values = to_float(digits.read(np.arange(len(digits)))[0]).flatten(1).double().numpy()
    centred = values - values.mean(0)
    spectrum = np.linalg.svd(centred, compute_uv=False)
    rows = Pixels(num_components=20).load(sources)(digits.read(np.arange(len(digits)))[0]).double().numpy()
    np.testing.assert_allclose(np.sqrt((rows**2).sum(0)), spectrum[:20], rtol=1e-4)
    np.testing.assert_allclose(np.cov(rows.T), np.diag(spectrum[:20] ** 2) / (len(digits) - 1), atol=1e-3)
    assert Pixels(num_components=20).label == "pca20"


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 16, 16)])
def test_pixels_of_colour_images_and_of_large_ones_averaged_down(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80, *shape), np.uint8)
    large = MemoryImages("large", pixels, None)
    sources = Sources(train=large, reference=large, device=torch.device("cpu"), cache_dir=tmp_path)
    assert Pixels(num_components=10).load(sources)(torch.from_numpy(pixels)).shape == (80, 10)


def test_more_components_than_pixels_are_refused(digits: MemoryImages) -> None:
    with pytest.raises(ValueError, match="at most the 64 values of an image, not 65"):
        Pixels(num_components=65).check(digits, digits)
