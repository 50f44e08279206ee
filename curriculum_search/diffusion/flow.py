"""Flow matching on the linear path (Lipman et al. 2023, arXiv 2210.02747; SiT, Ma et al. 2024, arXiv 2401.08740)."""

import dataclasses
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from curriculum_search.conditions import Condition
from curriculum_search.diffusion.process import (
    QUANTILE_MARGIN,
    Estimate,
    Network,
    Process,
    mean_over_pixels,
    per_image,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flow(Process):
    """x_t = (1 - t) image + t noise, q = t, and the network predicts the velocity noise - image.

    Time runs from data at t = 0 to noise at t = 1, as in SiT's paper; SiT's code counts the other way.
    """

    kind: Literal["flow"] = "flow"

    @property
    def prediction(self) -> str:
        return "velocity"

    def losses(self, network: Network, images: Tensor, q: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """Mean squared error of the velocity."""
        t = self.level(q).float()
        x = per_image(1.0 - t) * images + per_image(t) * noise
        return mean_over_pixels((network(x, t, condition).float() - (noise - images)).square())

    def estimate_at(self, network: Network, x: Tensor, level: Tensor, condition: Condition) -> Estimate:
        velocity = network(x, level, condition).float()
        return Estimate(x - per_image(level) * velocity, x + per_image(1.0 - level) * velocity)

    def log_eps_loss_ratio(self, log_snr: Tensor) -> Tensor:
        # eps = x + (1 - t) v, and 1 - t = sqrt(SNR) / (1 + sqrt(SNR))
        return 2.0 * F.logsigmoid(0.5 * log_snr)

    def _log_snr(self, q: Tensor) -> Tensor:
        t = self._level(q)
        return 2.0 * (torch.log1p(-t) - t.log())

    def _level(self, q: Tensor) -> Tensor:
        return q.clamp(QUANTILE_MARGIN, 1.0 - QUANTILE_MARGIN)

    def _quantile(self, level: Tensor) -> Tensor:
        return level

    def _coefficients(self, level: Tensor) -> tuple[Tensor, Tensor]:
        t = level.float()
        return 1.0 - t, t
