"""A noise process: how images become noise, what the network predicts, and what its loss is.

The processes (`ddpm`, `edm`, `flow`) are met through one coordinate, the noise quantile q in [0, 1] with 0 = clean and
1 = noise, which belongs to the process and not to the density of training levels.  No code outside this package needs
to know which process it has: noisy images are always x = alpha(q) * image + sigma(q) * noise.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from curriculum_search.conditions import Condition
from curriculum_search.config import Kinded

Network = Callable[[Tensor, Tensor, Condition], Tensor]
"""A denoiser ``(x [B, C, H, W], time float32 [B], condition of B images) -> [B, out_channels, H, W]``.

``time`` is what the process feeds it: the timestep of DDPM, ln(sigma) / 4 of EDM, t of flow."""

Levels = TypeVar("Levels", Tensor, np.ndarray)

QUANTILE_MARGIN = 1e-9
"""Continuous processes clamp q to [margin, 1 - margin] (in float64): at 0 and 1 themselves log-SNR is infinite.

For EDM this is +-6 standard deviations of ln sigma, for flow |log-SNR| <= 41."""


class Estimate(NamedTuple):
    """What a network's output says about a noisy image.

    Args:
        x0: the clean image, [B, C, H, W], not clipped.
        eps: the noise, [B, C, H, W], with x = alpha * x0 + sigma * eps.
        variance_fraction: learned variance of the step to the next cleaner timestep, [B, C, H, W], as the place of its
            logarithm between that of the posterior variance (0) and that of beta (1).  None where it is not learned.
            As a fraction it also holds for samplers that skip timesteps.
    """

    x0: Tensor
    eps: Tensor
    variance_fraction: Tensor | None = None


class Process(Kinded):
    """A noise process.  A *level* is its native measure of noise: DDPM's t, EDM's sigma, flow's t."""

    @property
    @abstractmethod
    def prediction(self) -> str:
        """What the network predicts: ``epsilon``, ``x0``, ``v``, ``denoised`` (EDM's D) or ``velocity``."""

    @property
    def num_levels(self) -> int | None:
        """The number of discrete levels, each 1 / num_levels wide in q; None where levels are continuous."""
        return None

    def out_channels(self, channels: int) -> int:
        """Output channels of a network for images of ``channels`` channels."""
        return channels

    def log_snr(self, q: Levels) -> Levels:
        """ln(alpha^2 / sigma^2) at ``q``, decreasing; of the same shape and dtype (numpy arrays give float64)."""
        return _over(self._log_snr, q)

    def level(self, q: Levels) -> Levels:
        """The native level at ``q``: int64 timesteps where they are discrete, else of the dtype of ``q``."""
        return _over(self._level, q)

    def quantile(self, level: Levels) -> Levels:
        """The q of a native level, the inverse of `level`; for a discrete one the middle of its bin.

        Of the dtype of ``level``, float64 for integers.
        """
        return _over(self._quantile, level)

    def add_noise(self, images: Tensor, q: Tensor, noise: Tensor) -> Tensor:
        """Noisy images x [B, C, H, W] of ``images`` and ``noise`` [B, C, H, W] at ``q`` [B]."""
        alpha, sigma = self._coefficients(self.level(q))
        return per_image(alpha) * images + per_image(sigma) * noise

    @abstractmethod
    def losses(self, network: Network, images: Tensor, q: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """The native unweighted loss of each image, float32 [B], a mean over its pixels.

        Nothing here waits for the device.

        Args:
            network: see `Network`.
            images: what the network sees of them, float32 [B, C, H, W].
            q: noise quantiles [B].
            noise: standard normal [B, C, H, W].
            condition: of the images; it goes to the network as it is.
        """

    @abstractmethod
    def estimate_at(self, network: Network, x: Tensor, level: Tensor, condition: Condition) -> Estimate:
        """Clean image and noise that ``network`` sees in noisy images ``x`` [B, C, H, W] at native levels [B]."""

    @abstractmethod
    def log_eps_loss_ratio(self, log_snr: Tensor) -> Tensor:
        """ln(loss on the noise / native loss) of one and the same error at ``log_snr``, elementwise.

        It makes a weight that is defined on the noise-prediction loss one on the native loss.
        """

    @abstractmethod
    def _log_snr(self, q: Tensor) -> Tensor:
        """log-SNR float64 of q float64."""

    @abstractmethod
    def _level(self, q: Tensor) -> Tensor:
        """Native level (float64 or int64) of q float64."""

    @abstractmethod
    def _quantile(self, level: Tensor) -> Tensor:
        """q float64 of a native level (float64)."""

    @abstractmethod
    def _coefficients(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma, float32 [B], of native levels [B]."""


def per_image(values: Tensor) -> Tensor:
    """[B] as [B, 1, 1, 1], to be multiplied with images."""
    return values[:, None, None, None]


def mean_over_pixels(squares: Tensor) -> Tensor:
    """[B, C, H, W] to [B]."""
    return squares.flatten(1).mean(dim=1)


def _over(function: Callable[[Tensor], Tensor], values: Levels) -> Levels:
    """Apply a float64 tensor function to a tensor or array of any float dtype and give back what was given."""
    if not isinstance(values, Tensor):
        # A copy, for torch warns of arrays that are read-only, as a density's are.
        return function(torch.from_numpy(np.array(values, dtype=np.float64))).numpy()
    result = function(values.double())
    return result.to(values.dtype) if result.is_floating_point() and values.is_floating_point() else result
