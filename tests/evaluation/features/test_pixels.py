"""Principal components as features."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum_search.data import Digits, MemoryImages, to_float
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


def test_directions_without_variance_are_the_first_pixels_whatever_eigenvectors_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digits of repeated pixels vary in 61 directions of 256."""
    large, eigh = Digits(resolution=16).load(), torch.linalg.eigh
    found = []
    for turn in (False, True):

        def turned(covariance: Tensor, turn: bool = turn) -> tuple[Tensor, Tensor]:
            values, vectors = eigh(covariance)
            if turn:
                null, generator = vectors[:, :195], torch.Generator().manual_seed(0)
                vectors[:, :195] = (
                    null @ torch.linalg.qr(torch.randn(195, 195, dtype=null.dtype, generator=generator))[0]
                )
            return values, vectors

        monkeypatch.setattr(torch.linalg, "eigh", turned)
        sources = Sources(
            train=large,
            reference=large,
            device=torch.device("cpu"),
            cache_dir=tmp_path / ("turned" if turn else "as is"),
        )
        features = Pixels(num_components=70).load(sources)
        units = torch.cat([torch.eye(256), torch.zeros(1, 256)]).mul(255).to(torch.uint8).view(257, 1, 16, 16)
        rows = features(units)
        found.append((rows[:-1] - rows[-1]) / 2)
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[0].T @ found[0], torch.eye(70), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 16, 16)])
def test_pixels_of_colour_images_and_of_large_ones_averaged_down(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80, *shape), np.uint8)
    large = MemoryImages("large", pixels, None)
    sources = Sources(train=large, reference=large, device=torch.device("cpu"), cache_dir=tmp_path)
    assert Pixels(num_components=10).load(sources)(torch.from_numpy(pixels)).shape == (80, 10)


def test_more_components_than_pixels_are_refused(digits: MemoryImages) -> None:
    with pytest.raises(ValueError, match="at most the 64 values of an image, not 65"):
        Pixels(num_components=65).check(digits, digits)
