"""A small autoencoder of one's own for latents: trained on any data source, saved as diffusers saves one.

    python examples/autoencoder.py models/relief-vae --data '{kind: relief, resolution: 32}'

It is what `encoder: {kind: vae, path: models/relief-vae}` takes: diffusers' AutoencoderKL, whose latents have a quarter
of the images' resolution and as many channels as asked for.  The loss is the absolute error of the pixels and a small
part of the divergence from a standard normal (Rombach et al. 2022, section 3.1, without their perceptual and
adversarial parts, which need networks of their own); so fine texture comes back blurred.

What it says at the end is of the reference images, which it was not trained on: the peak signal-to-noise ratio of what
comes back, beside that of images averaged down to as many numbers as a latent has, and enlarged again.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from diffusers import AutoencoderKL
from torch.nn import functional as F

from curriculum_search.data import DataSource, ImageSet, to_float
from curriculum_search.loading.validation import validated

_HELD_OUT = 512  # images of the reference that the end is judged by
_REPORTS = 20


def build(channels: int, latent_channels: int, width: int) -> Any:
    """An AutoencoderKL that divides the resolution by four."""
    return AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        latent_channels=latent_channels,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(width, 2 * width, 2 * width),
        norm_num_groups=min(32, width),
        mid_block_add_attention=False,
    )


def read(images: ImageSet, indices: np.ndarray[Any, np.dtype[np.int64]]) -> torch.Tensor:
    """Images in [-1, 1]: float32 [B, C, H, W]."""
    return to_float(images.read(indices)[0])


def train(autoencoder: Any, images: ImageSet, *, steps: int, batch_size: int, learning_rate: float, kl: float) -> None:
    """Minimise the absolute error and the divergence, under a learning rate that falls to zero."""
    optimizer = torch.optim.AdamW(autoencoder.parameters(), lr=learning_rate, betas=(0.9, 0.99))
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    rng = np.random.default_rng(0)
    errors = []
    for step in range(1, steps + 1):
        x = read(images, rng.integers(len(images), size=batch_size))
        if rng.random() < 0.5:
            x = x.flip(-1)
        posterior = autoencoder.encode(x).latent_dist
        back = autoencoder.decode(posterior.sample()).sample
        error = F.l1_loss(back, x)
        (error + kl * posterior.kl().mean() / x[0].numel()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rates.step()
        errors.append(float(error.detach()))
        if step % max(steps // _REPORTS, 1) == 0:
            recent = errors[-max(steps // _REPORTS, 1) :]
            print(f"step {step:,} of {steps:,}: absolute error {sum(recent) / len(recent):.4f}", flush=True)


@torch.no_grad()
def judge(autoencoder: Any, images: ImageSet) -> tuple[float, float, torch.Tensor]:
    """Of held-out images: the ratio in dB, that of averaging down, and their latents' means, float32 [N, C, h, w]."""
    x = read(images, np.arange(min(len(images), _HELD_OUT)))
    latents = torch.cat([autoencoder.encode(part).latent_dist.mean for part in torch.split(x, 64)])
    back = torch.cat([autoencoder.decode(part).sample for part in torch.split(latents, 64)]).clamp(-1, 1)
    side = math.floor(math.sqrt(latents[0].numel() / x.shape[1]))
    averaged = F.interpolate(F.interpolate(x, size=(side, side), mode="area"), size=x.shape[-2:], mode="bicubic")
    return decibels(back, x), decibels(averaged.clamp(-1, 1), x), latents


def decibels(back: torch.Tensor, x: torch.Tensor) -> float:
    """Peak signal-to-noise ratio, of values in [-1, 1]."""
    return 10 * math.log10(4 / float((back - x).square().mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small autoencoder, and save it as diffusers does.")
    parser.add_argument("folder", type=Path, help="where it goes")
    parser.add_argument("--data", default="{kind: relief, resolution: 32}", help="a data source, as a study has it")
    parser.add_argument("--latent-channels", type=int, default=4)
    parser.add_argument("--width", type=int, default=16, help="channels at full resolution")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--kl", type=float, default=1e-3, help="weight of the divergence, an image value")
    args = parser.parse_args()
    if (args.folder / "config.json").exists():
        sys.exit(f"{args.folder} has an autoencoder already; remove it, or name another folder")
    source = validated(DataSource, yaml.safe_load(args.data), "--data")
    images = source.load()
    torch.manual_seed(0)
    autoencoder = build(images.channels, args.latent_channels, args.width)
    train(
        autoencoder,
        images,
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        kl=args.kl,
    )
    autoencoder.eval()
    ratio, averaged, latents = judge(autoencoder, source.reference_images())
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    autoencoder.register_to_config(scaling_factor=1.0, latents_mean=mean.tolist(), latents_std=deviation.tolist())
    autoencoder.save_pretrained(args.folder)
    print(f"{args.folder}: {ratio:.1f} dB on images that it was not trained on; averaged down, {averaged:.1f} dB")
    each = ", ".join(f"{m:.2f} (sd {s:.2f})" for m, s in zip(mean.tolist(), deviation.tolist(), strict=True))
    print(f"latents by channel: {each}; the encoder takes the means off and divides by the deviations")


if __name__ == "__main__":
    main()
