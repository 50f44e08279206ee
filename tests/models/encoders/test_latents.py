from pathlib import Path

import numpy as np
import pytest
import torch
from support.autoencoder import save_autoencoder
from support.latent_files import DEVIATIONS, MEAN_STD, MEANS, fast_dit

from curriculum_search.data import Latents, LatentSet
from curriculum_search.models.encoders import PIXELS, VAE
from curriculum_search.models.encoders.latents import check_latents, drawn

MOMENTS = torch.from_numpy(np.stack([MEANS, DEVIATIONS], axis=1))


def test_a_latent_is_its_mean_and_noise_as_wide_as_its_deviation() -> None:
    noise = torch.randn(MEANS.shape)
    expected = torch.from_numpy(MEANS) + torch.from_numpy(DEVIATIONS) * noise
    torch.testing.assert_close(drawn(MOMENTS, noise), expected)
    assert torch.equal(drawn(MOMENTS, None), torch.from_numpy(MEANS))
    sample = torch.from_numpy(MEANS).half()
    assert torch.equal(drawn(sample, noise), sample.float())


def latents(path: Path, array: np.ndarray) -> LatentSet:
    np.save(path, array)
    found = Latents(path=str(path), layout="sample").load()
    assert isinstance(found, LatentSet)
    return found


def test_a_spread_that_cannot_be_learned_from_is_refused_with_the_numbers(tmp_path: Path) -> None:
    none, half = torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.5)
    check_latents(latents(tmp_path / "a.npy", MEANS), none, half, draws=True)
    for factor in (0.1, 20.0):
        with pytest.raises(ValueError, match=r"b 4x4: as the network .* of (0\.1\d*|2\d(\.\d)?), which"):
            check_latents(latents(tmp_path / "b.npy", MEANS * np.float32(factor)), none, half, draws=True)


def test_an_autoencoder_encodes_stored_latents_by_its_scale_alone(tmp_path: Path) -> None:
    encoder = VAE(path=save_autoencoder(tmp_path / "vae"))
    np.save(tmp_path / "a.npy", MEAN_STD)
    stored = Latents(path=str(tmp_path / "a.npy"), layout="mean_std").load()
    encoder.check(stored)
    assert encoder.shape_of(stored) == (2, 4, 4)
    noise = torch.randn(MEANS.shape)
    found = encoder.load(torch.device("cpu")).encode(stored.read(np.arange(len(stored)))[0], noise)
    torch.testing.assert_close(found, (torch.from_numpy(MEANS) + torch.from_numpy(DEVIATIONS) * noise) * 0.5)


def test_latents_of_other_channels_and_pixels_for_latents_are_refused(tmp_path: Path) -> None:
    encoder = VAE(path=save_autoencoder(tmp_path / "vae"))
    four = latents(tmp_path / "a.npy", MEAN_STD)
    with pytest.raises(ValueError, match=r"vae has latents of 2 channels, and a 4x4 has 4; data\.layout says what"):
        encoder.check(four)
    with pytest.raises(ValueError, match="a 4x4 has latents, not pixels: name the autoencoder that they are of"):
        PIXELS.check(four)


def test_a_factor_that_was_left_in_is_found(tmp_path: Path) -> None:
    encoder = VAE(path=save_autoencoder(tmp_path / "vae", scaling_factor=0.18215))
    path = fast_dit(tmp_path / "a")
    encoder.check(Latents(path=path).load())
    with pytest.raises(ValueError, match=r"standard deviation of 0\.06\d*, which cannot be right"):
        encoder.check(Latents(path=path, scale=1.0).load())
