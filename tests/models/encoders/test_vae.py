"""Latents of an autoencoder, beside what diffusers itself makes of the same weights."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.autoencoder import save_autoencoder
from torch import Tensor

from curriculum_search.data import MemoryImages
from curriculum_search.models.encoders import VAE, Autoencoder

torch.set_num_threads(1)

CPU = torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), dtype=np.uint8)
IMAGES = MemoryImages("noise", PIXELS, None)
SHAPE = (2, 8, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_autoencoder(tmp_path_factory.mktemp("vae") / "vae", channels=3)


def loaded(path: str, **fields: Any) -> Autoencoder:
    return VAE(path=path, **fields).load(CPU)


def theirs(folder: str) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder, local_files_only=True)


@torch.no_grad()
def posterior(folder: str) -> Any:
    """diffusers' own, of images as its pipelines preprocess them."""
    from diffusers.image_processor import VaeImageProcessor

    processor = VaeImageProcessor(do_resize=False)
    return theirs(folder).encode(processor.preprocess(torch.from_numpy(PIXELS) / 255)).latent_dist


def test_means_are_diffusers_means_times_its_factor(folder: str) -> None:
    expected = posterior(folder).mean * 0.5
    assert VAE(path=folder).shape_of(IMAGES) == SHAPE
    assert not VAE(path=folder).bounded
    codec = loaded(folder, sample=False)
    assert not codec.draws
    torch.testing.assert_close(codec.encode(torch.from_numpy(PIXELS), None), expected, rtol=0, atol=1e-6)


def test_draws_are_diffusers_draws_of_the_same_noise(folder: str) -> None:
    expected = posterior(folder).sample(torch.Generator().manual_seed(7)) * 0.5
    noise = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(7))
    codec = loaded(folder)
    assert codec.draws
    torch.testing.assert_close(codec.encode(torch.from_numpy(PIXELS), noise), expected, rtol=0, atol=1e-6)
    expectation = codec.encode(torch.from_numpy(PIXELS), None)
    torch.testing.assert_close(expectation, posterior(folder).mean * 0.5, rtol=0, atol=1e-6)


@torch.no_grad()
def test_images_are_those_that_diffusers_decodes_and_rounds(folder: str) -> None:
    from diffusers.image_processor import VaeImageProcessor

    values = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(3))
    decoded = theirs(folder).decode(values / 0.5).sample
    expected = VaeImageProcessor().postprocess(decoded, output_type="np")
    found = loaded(folder, batch_size=2).decode(values)
    assert found.images.dtype == torch.uint8
    assert found.finite
    difference = found.images.permute(0, 2, 3, 1).numpy() - np.round(expected * 255)
    assert np.abs(difference).max() <= 1  # a float that lies between two bytes may be rounded either way
    assert np.abs(difference).mean() < 1e-3


def test_scale_and_shift_are_given_for_all_channels_or_for_each(folder: str) -> None:
    images, raw = torch.from_numpy(PIXELS), posterior(folder).mean

    def close(found: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)

    close(loaded(folder, sample=False, scale=3.0, shift=0.25).encode(images, None), (raw - 0.25) * 3)
    by_channel = loaded(folder, sample=False, scale=(1.0, 4.0), shift=(0.5, -0.5))
    values = by_channel.encode(images, None)
    close(values, torch.stack([raw[:, 0] - 0.5, (raw[:, 1] + 0.5) * 4], dim=1))
    again = loaded(folder, sample=False, scale=1.0).decode(raw).images
    assert torch.equal(by_channel.decode(values).images, again)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"shift_factor": 0.1, "scaling_factor": 2.0}, lambda raw: (raw - 0.1) * 2),
        (
            {"latents_mean": [1.0, 2.0], "latents_std": [0.5, 0.25], "scaling_factor": 0.5},
            lambda raw: torch.stack([(raw[:, 0] - 1) * 1, (raw[:, 1] - 2) * 2], dim=1),
        ),
    ],
)
def test_what_the_autoencoder_itself_says_is_used_where_nothing_is_given(
    tmp_path: Path, config: dict[str, Any], expected: Any
) -> None:
    path = save_autoencoder(tmp_path / "vae", channels=3, **config)
    found = loaded(path, sample=False).encode(torch.from_numpy(PIXELS), None)
    torch.testing.assert_close(found, expected(posterior(path).mean), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_black_may_be_zero_as_edm2_has_it(folder: str) -> None:
    autoencoder, pixels = theirs(folder), torch.from_numpy(PIXELS).float() / 255
    codec = loaded(folder, sample=False, lowest_pixel=0)
    expected = autoencoder.encode(pixels).latent_dist.mean
    torch.testing.assert_close(codec.encode(torch.from_numpy(PIXELS), None), expected * 0.5, rtol=0, atol=1e-6)
    images = autoencoder.decode(expected).sample.clamp(0, 1).mul(255).round()
    assert (codec.decode(expected * 0.5).images - images).abs().max() <= 1


def test_parts_of_any_size_give_the_same(folder: str) -> None:
    whole, parts = loaded(folder, batch_size=5), loaded(folder, batch_size=2)
    noise = torch.randn(5, *SHAPE)
    values = whole.encode(torch.from_numpy(PIXELS), noise)
    torch.testing.assert_close(parts.encode(torch.from_numpy(PIXELS), noise), values, rtol=0, atol=1e-5)
    assert (parts.decode(values).images.int() - whole.decode(values).images.int()).abs().max() <= 1


def test_a_process_loads_an_autoencoder_once_and_trains_none_of_it(folder: str) -> None:
    codec = loaded(folder)
    assert loaded(folder) is codec
    assert not any(parameter.requires_grad for parameter in codec._autoencoder.parameters())
    assert not codec._autoencoder.training


def test_an_image_that_is_not_finite_is_told_though_it_is_rounded(folder: str) -> None:
    values = torch.zeros(3, *SHAPE)
    assert loaded(folder).decode(values).finite
    values[2, 0, 0, 0] = torch.inf
    assert not loaded(folder).decode(values).finite


@pytest.mark.parametrize(
    ("images", "fields", "message"),
    [
        ((1, 1, 16, 16), {}, r"takes images of 3 channels, and odd has 1; data\.channels converts them"),
        ((1, 3, 15, 15), {}, "needs a resolution that 2 divides, and odd has 15"),
        ((1, 3, 16, 16), {"scale": (1.0, 2.0, 3.0)}, "scale must be one number or 2, one for each channel, not 3"),
        ((1, 3, 16, 16), {"shift": (1.0,)}, "shift must be one number or 2, one for each channel, not 1"),
    ],
)
def test_images_and_fields_that_do_not_fit_are_named(
    folder: str, images: tuple[int, ...], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        VAE(path=folder, **fields).check(MemoryImages("odd", np.zeros(images, np.uint8), None))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 0}, "batch_size of encoder vae must be at least 1, not 0"),
        ({"scale": 0.0}, "scale of encoder vae must be positive, not 0.0"),
        ({"scale": (1.0, -1.0)}, "scale of encoder vae must be positive"),
    ],
)
def test_impossible_fields_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VAE(path="vae", **fields)


def test_what_is_no_autoencoder_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"\./nowhere/vae does not exist \(looked for "):
        VAE(path="./nowhere/vae").check(IMAGES)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty has no config\.json: it is not the folder of an autoencoder"):
        VAE(path=str(tmp_path / "empty")).check(IMAGES)
    (tmp_path / "empty" / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    with pytest.raises(ValueError, match="empty is of class UNet2DModel, and encoder vae takes an AutoencoderKL"):
        VAE(path=str(tmp_path / "empty")).check(IMAGES)
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="nobody/no-vae is no folder, and cannot be had from the hub"):
        VAE(path="nobody/no-vae").check(IMAGES)


def test_weights_that_are_not_those_of_the_config_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "vae"
    save_autoencoder(path, channels=3)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "layers_per_block": 2}))
    with pytest.raises(ValueError, match=r"vae: \d+ of its weights do not fit its config\.json, as "):
        VAE(path=str(path)).check(IMAGES)
    (path / "diffusion_pytorch_model.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="vae: the autoencoder cannot be read"):
        VAE(path=str(path)).check(IMAGES)


def test_without_diffusers_the_check_says_what_to_install(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(
        ValueError, match=r"encoder vae needs the diffusers library: pip install curriculum-search\[vae"
    ):
        VAE(path=folder, batch_size=3).load(CPU)
