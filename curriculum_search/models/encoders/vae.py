"""Latents of an autoencoder of the diffusers library (an optional extra): AutoencoderKL, as Stable Diffusion's."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from curriculum_search.data import ImageSet, LatentSet, to_float, to_uint8
from curriculum_search.hub import fetched, first_line, is_name
from curriculum_search.models.encoders.base import Codec, Decoded, Encoder, Shape
from curriculum_search.models.encoders.latents import (
    PerChannel,
    check_channels,
    check_latents,
    check_scale,
    drawn,
    normalisation,
)

_CONFIG = "config.json"
_FETCHED = (_CONFIG, "*.safetensors", "*.safetensors.index.json")


@dataclass(frozen=True, kw_only=True)
class VAE(Encoder):
    """The network sees (latent - shift) * scale of diffusers' AutoencoderKL (Rombach et al. 2022, arXiv 2112.10752).

    Needs ``pip install curriculum-search[vae]``.

    Attributes:
        path: a folder as ``save_pretrained`` writes it, or the name of one on the hub, as stabilityai/sd-vae-ft-ema.
        scale: a factor, or one for each channel; None: the autoencoder's own (0.18215 for Stable Diffusion's).
        shift: what is taken off first, or that for each channel; None: the autoencoder's own, where it has one.
        sample: draw each latent from the autoencoder's posterior, as DiT, SiT and EDM2 do; false: take its mean.
        lowest_pixel: what the autoencoder sees as black, white being 1: -1 as it was trained, or 0 as EDM2 has it.
        batch_size: images that go through the autoencoder together.
    """

    kind: Literal["vae"] = "vae"
    path: str
    scale: PerChannel | None = None
    shift: PerChannel | None = None
    sample: bool = True
    lowest_pixel: Literal[-1, 0] = -1
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size of encoder vae must be at least 1, not {self.batch_size}")
        if self.scale is not None:
            check_scale(self.kind, self.scale)

    @property
    def bounded(self) -> bool:
        return False

    def shape_of(self, images: ImageSet) -> Shape:
        config = self._config()
        channels = int(config["latent_channels"])
        check_channels(channels, scale=self.scale, shift=self.shift)
        if images.encoded:
            if images.channels != channels:
                raise ValueError(
                    f"{self.path} has latents of {channels} channels, and {images.name} has {images.channels}; "
                    f"data.layout says what its channels are"
                )
            return channels, images.resolution, images.resolution
        if images.channels != config["in_channels"]:
            raise ValueError(
                f"{self.path} takes images of {config['in_channels']} channels, and {images.name} has "
                f"{images.channels}; data.channels converts them where the data are image files"
            )
        factor = 2 ** (len(config["block_out_channels"]) - 1)
        if images.resolution % factor:
            raise ValueError(
                f"{self.path} needs a resolution that {factor} divides, and {images.name} has {images.resolution}"
            )
        return channels, images.resolution // factor, images.resolution // factor

    def check(self, images: ImageSet) -> None:
        """See `Encoder.check`; the weights are read, once in a process."""
        self.shape_of(images)
        checksum = self.checksum()
        if isinstance(images, LatentSet):
            check_latents(images, *self.normalisation(), draws=self.sample)
            other = images.provenance.get("autoencoder")
            if other not in (None, checksum):
                raise ValueError(
                    f"{images.name} was encoded by another autoencoder ({other[:12]}) than {self.path} "
                    f"({checksum[:12]}): encode the images again, or give the path of that one"
                )

    def checksum(self) -> str:
        """SHA-256 of the autoencoder's weights.

        Raises:
            ValueError, FileNotFoundError: it is not there, or its weights do not fit.
        """
        return _checksum(self.path)

    def load(self, device: torch.device) -> "Autoencoder":
        return _load(self, device)

    def _config(self) -> dict[str, Any]:
        return _read_config(self.path)

    def normalisation(self) -> tuple[Tensor, Tensor]:
        """Shift and scale, float32 [1, channels or 1, 1, 1], with the autoencoder's own where none are given."""
        config = self._config()
        shift: PerChannel = config.get("shift_factor") or 0.0
        scale: PerChannel = config["scaling_factor"]
        if config.get("latents_mean") and config.get("latents_std"):
            shift = tuple(config["latents_mean"])
            scale = tuple(config["scaling_factor"] / std for std in config["latents_std"])
        return normalisation(shift if self.shift is None else self.shift, scale if self.scale is None else self.scale)


class Autoencoder(Codec):
    """The codec that `VAE` configures."""

    def __init__(self, encoder: VAE, device: torch.device) -> None:
        self.draws = encoder.sample
        self._autoencoder = _read(encoder.path).to(device)
        self._shift, self._scale = (values.to(device) for values in encoder.normalisation())
        self._batch_size = encoder.batch_size
        self._lowest = encoder.lowest_pixel

    @torch.no_grad()
    def encode(self, stored: Tensor, noise: Tensor | None) -> Tensor:
        known = self.posterior(stored) if stored.dtype == torch.uint8 else stored
        return (drawn(known, noise if self.draws else None) - self._shift) * self._scale

    @torch.no_grad()
    def posterior(self, images: Tensor) -> Tensor:
        """Mean and standard deviation of the latents of images uint8 [B, C, H, W]: float32 [B, 2, C, H, W]."""
        parts = []
        for part in torch.split(images, self._batch_size):
            found = self._autoencoder.encode(self._pixels(part)).latent_dist
            parts.append(torch.stack([found.mean, found.std], dim=1))
        return torch.cat(parts)

    def _pixels(self, images: Tensor) -> Tensor:
        pixels = to_float(images)
        return (pixels + 1) / 2 if self._lowest == 0 else pixels

    @torch.no_grad()
    def decode(self, values: Tensor) -> Decoded:
        images, finite = [], torch.ones((), dtype=torch.bool, device=values.device)
        latents = values / self._scale + self._shift
        for part in torch.split(latents, self._batch_size):
            decoded = self._autoencoder.decode(part).sample
            if self._lowest == 0:
                decoded = decoded * 2 - 1
            finite = finite & torch.isfinite(decoded).all()
            images.append(to_uint8(decoded))
        return Decoded(images=torch.cat(images), finite=finite)


@lru_cache(maxsize=1)  # a second one would only take memory
def _load(encoder: VAE, device: torch.device) -> Autoencoder:
    return Autoencoder(encoder, device)


@lru_cache
def _folder(path: str) -> Path:
    """The folder of an autoencoder: `path` itself, or that in which what the hub has under this name was put.

    Raises:
        ValueError, FileNotFoundError: it is not there, cannot be fetched, or diffusers is not.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if not is_name(path):
        raise FileNotFoundError(f"{path} does not exist (looked for {folder.absolute()})")
    _diffusers()
    return fetched(path, _FETCHED)


@lru_cache
def _read_config(path: str) -> dict[str, Any]:
    file = _folder(path) / _CONFIG
    if not file.is_file():
        raise FileNotFoundError(f"{path} has no {_CONFIG}: it is not the folder of an autoencoder of diffusers")
    config = json.loads(file.read_text())
    if config.get("_class_name") != "AutoencoderKL":
        raise ValueError(f"{path} is of class {config.get('_class_name')}, and encoder vae takes an AutoencoderKL")
    defaults = {"in_channels": 3, "latent_channels": 4, "block_out_channels": [64], "scaling_factor": 0.18215}
    return {**defaults, **config}


@lru_cache
def _checksum(path: str) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(_read(path).state_dict().items()):
        digest.update(name.encode() + value.contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read(path: str) -> Any:
    """The autoencoder on the CPU, in evaluation mode.

    Raises:
        ValueError, FileNotFoundError: it is not there, or its weights do not fit.
    """
    _read_config(path)
    library = _diffusers()
    try:
        autoencoder, info = library.AutoencoderKL.from_pretrained(
            str(_folder(path)),
            local_files_only=True,
            low_cpu_mem_usage=False,  # the other way needs a further library
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: the autoencoder cannot be read ({first_line(error)})") from error
    if odd := [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]:
        raise ValueError(f"{path}: {len(odd)} of its weights do not fit its {_CONFIG}, as {odd[0]}")
    return autoencoder.eval().requires_grad_(False)


def _diffusers() -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise ValueError("encoder vae needs the diffusers library: pip install curriculum-search[vae]") from error
    return diffusers
