"""What holds for latents whatever they are of: drawing them, their scale, and whether their numbers can be right."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from curriculum_search.data import LatentSet

_LOOKED_AT = 256  # latents, by a check
_LEAST, _MOST = 0.25, 4.0  # standard deviations that a network can learn from as it is


PerChannel = float | tuple[float, ...]
"""A number, or one for each channel."""


def each(values: PerChannel) -> tuple[float, ...]:
    """One number as a tuple, several as they are."""
    return values if isinstance(values, tuple) else (values,)


def normalisation(shift: PerChannel, scale: PerChannel) -> tuple[Tensor, Tensor]:
    """Both as tensors that apply to latents [B, C, H, W]: float32 [1, channels or 1, 1, 1]."""
    first, second = (torch.tensor(each(value), dtype=torch.float32).view(1, -1, 1, 1) for value in (shift, scale))
    return first, second


def check_scale(kind: str, scale: PerChannel) -> None:
    """Raise ValueError where the `scale` of encoder `kind` is not positive."""
    if not all(factor > 0 for factor in each(scale)):
        raise ValueError(f"scale of encoder {kind} must be positive, not {scale}")


def check_channels(channels: int, **given: PerChannel | None) -> None:
    """Raise ValueError where `given` fields have neither one number nor one for each of the `channels`."""
    for name, values in given.items():
        if isinstance(values, Sequence) and len(values) != channels:
            raise ValueError(f"{name} must be one number or {channels}, one for each channel, not {len(values)}")


def drawn(stored: Tensor, noise: Tensor | None) -> Tensor:
    """Latents float32 [B, C, H, W] of those that are stored.

    Args:
        stored: float [B, C, H, W], or mean and standard deviation, [B, 2, C, H, W].
        noise: standard normal [B, C, H, W]; None: the mean is taken.
    """
    if stored.ndim == 4:
        return stored.float()
    mean, deviation = stored.float().unbind(1)
    return mean if noise is None else mean + deviation * noise


def check_latents(latents: LatentSet, shift: Tensor, scale: Tensor, *, draws: bool) -> None:
    """Whether (latent - shift) * scale has a spread that a network can learn from.

    Args:
        latents: some of which are looked at.
        shift, scale: float [1, channels or 1, 1, 1].
        draws: whether latents whose mean and standard deviation are stored are drawn, and not their means taken.

    Raises:
        ValueError: it has not, so that scale, layout or the factor that the latents were stored with cannot be right.
    """
    chosen = np.unique(np.linspace(0, len(latents) - 1, _LOOKED_AT).astype(np.int64))
    stored = latents.stored(chosen)
    noise = torch.randn(stored.shape[:1] + stored.shape[-3:], generator=torch.Generator().manual_seed(0))
    raw = drawn(stored, noise if draws else None)
    spread = float(((raw - shift) * scale).std())
    if not _LEAST <= spread <= _MOST:
        deviations = ", ".join(f"{deviation:.3g}" for deviation in raw.std(dim=(0, 2, 3)).tolist())
        raise ValueError(
            f"{latents.name}: as the network would see them, latents have a standard deviation of {spread:.3g}, which "
            f"cannot be right (it should be near 1, or 0.5 for EDM).  Stored they have {deviations} by channel: check "
            "data.scale (what they have been multiplied by), data.layout, encoder.scale and encoder.shift"
        )
