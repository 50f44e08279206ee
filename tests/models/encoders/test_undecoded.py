"""Latents that nothing decodes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from support.latent_files import DEVIATIONS, MEAN_STD, MEANS

from curriculum_search.data import Digits, Latents
from curriculum_search.models.encoders import Undecoded

CPU = torch.device("cpu")
ALL = np.arange(len(MEANS))


@pytest.fixture
def data(tmp_path: Path) -> Latents:
    path = str(tmp_path / "a.npy")
    np.save(path, MEAN_STD)
    return Latents(path=path, layout="mean_std")


def test_the_network_sees_latents_less_their_shift_times_their_scale(data: Latents) -> None:
    encoder, latents = Undecoded(scale=(0.5, 0.25), shift=(1.0, -1.0)), data.load()
    assert encoder.shape_of(latents) == (2, 4, 4)
    assert not encoder.bounded
    assert not encoder.decodes
    noise = torch.randn(MEANS.shape)
    shift, scale = torch.tensor([1.0, -1.0]).view(2, 1, 1), torch.tensor([0.5, 0.25]).view(2, 1, 1)
    means, deviations = torch.from_numpy(MEANS), torch.from_numpy(DEVIATIONS)
    stored = latents.read(ALL)[0]
    torch.testing.assert_close(
        encoder.load(CPU).encode(stored, noise), (means + deviations * noise - shift) * scale, rtol=0, atol=1e-6
    )
    expected = dataclasses.replace(encoder, sample=False).load(CPU)
    assert not expected.draws
    torch.testing.assert_close(expected.encode(stored, noise), (means - shift) * scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("channels", "shown"), [(4, 3), (3, 3), (2, 1), (1, 1)])
def test_a_picture_shows_the_first_channels(channels: int, shown: int) -> None:
    values = torch.linspace(-3, 3, 5 * channels * 4).view(5, channels, 2, 2)
    decoded = Undecoded().load(CPU).decode(values)
    expected = ((values[:, :shown] / 3 + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(decoded.images, expected)
    assert bool(decoded.finite)
    assert not bool(Undecoded().load(CPU).decode(values / 0).finite)


def test_a_scale_must_be_positive() -> None:
    with pytest.raises(ValueError, match="scale of encoder undecoded must be positive, not -1"):
        Undecoded(scale=-1.0)


def test_images_are_refused() -> None:
    with pytest.raises(ValueError, match="encoder undecoded takes latents, and digits 8x8 has images"):
        Undecoded().check(Digits().load())
