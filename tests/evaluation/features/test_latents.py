"""Distances between latents."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.latent_files import DEVIATIONS, MEAN_STD, MEANS

from curriculum_search.data import Digits, Latents
from curriculum_search.evaluation import LatentComponents, Sources
from curriculum_search.models.encoders import Undecoded

CPU = torch.device("cpu")


def sources(tmp_path: Path, path: Path, encoder: Undecoded, **fields: str) -> Sources:
    latents = Latents(path=str(path), **fields).load()  # type: ignore[arg-type]
    return Sources(train=latents, reference=latents, device=CPU, cache_dir=tmp_path / "cache", encoder=encoder)


def test_features_are_principal_components_as_numpy_finds_them_of_what_the_network_sees(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    stored = (random.normal(size=(200, 3, 4, 4)) * np.linspace(0.2, 4, 48).reshape(3, 4, 4)).astype(np.float32)
    np.save(tmp_path / "a.npy", stored)
    features = LatentComponents(num_components=10).load(
        sources(tmp_path, tmp_path / "a.npy", Undecoded(scale=(0.5, 1.0, 2.0), shift=1.0), layout="sample")
    )
    seen = (stored - 1) * np.array([0.5, 1, 2], np.float32).reshape(3, 1, 1)
    spectrum = np.linalg.svd(seen.reshape(200, -1) - seen.reshape(200, -1).mean(0), compute_uv=False)
    rows = features(torch.from_numpy(seen)).numpy()
    np.testing.assert_allclose(np.sqrt((rows**2).sum(0)), spectrum[:10], rtol=1e-4)
    assert (LatentComponents(num_components=10).label, features.dimension) == ("latents10", 10)


def test_latents_that_are_drawn_have_a_draw_of_their_own_whatever_is_read_with_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", MEAN_STD)
    given = sources(tmp_path, tmp_path / "a.npy", Undecoded(), layout="mean_std")
    features = LatentComponents(num_components=2).load(given)
    together = features.stored(given.reference, np.arange(6))
    assert torch.equal(together[4:5], features.stored(given.reference, np.array([4])))
    deviations = (together - torch.from_numpy(MEANS[:6])) / torch.from_numpy(DEVIATIONS[:6])
    assert float(deviations.std()) == pytest.approx(1, abs=0.2)
    means = sources(tmp_path, tmp_path / "a.npy", Undecoded(sample=False), layout="mean_std")
    of_means = LatentComponents(num_components=2).load(means)
    assert torch.equal(of_means.stored(given.reference, np.arange(6)), torch.from_numpy(MEANS[:6]))
    assert of_means.checksum != features.checksum


def test_larger_latents_are_averaged_down(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).normal(size=(20, 2, 32, 32)).astype(np.float32)
    np.save(tmp_path / "a.npy", stored)
    given = sources(tmp_path, tmp_path / "a.npy", Undecoded(), layout="sample")
    features = LatentComponents(num_components=5).load(given)
    coarse = torch.from_numpy(stored).view(20, 2, 16, 2, 16, 2).mean((3, 5))
    torch.testing.assert_close(
        features(torch.from_numpy(stored)),
        features(coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)),
        rtol=0,
        atol=1e-4,
    )
    with pytest.raises(ValueError, match="at most the 512 values of a latent, not 513"):
        LatentComponents(num_components=513).check(given.train, given.reference)


def test_images_are_refused() -> None:
    images = Digits().load()
    with pytest.raises(ValueError, match=r"compares with latents, and digits 8x8 has images: data\.reference_latents"):
        LatentComponents().check(images, images)
    with pytest.raises(ValueError, match="num_components must be at least 1, not 0"):
        LatentComponents(num_components=0)
