"""A small AutoencoderKL with random weights, in a folder as diffusers saves it."""

from pathlib import Path
from typing import Any

import torch


def save_autoencoder(folder: Path, *, channels: int = 1, seed: int = 0, **config: Any) -> str:
    """Latents of 2 channels and half the resolution."""
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    settings = {
        "in_channels": channels,
        "out_channels": channels,
        "latent_channels": 2,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 8),
        "norm_num_groups": 4,
        "scaling_factor": 0.5,
    }
    AutoencoderKL(**{**settings, **config}).save_pretrained(folder)
    return str(folder)
