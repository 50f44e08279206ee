"""Flow matching on the linear path (Lipman et al. 2023, arXiv 2210.02747; SiT, Ma et al. 2024, arXiv 2401.08740)."""

import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from curriculum_search.conditions import Condition
from curriculum_search.config import later
from curriculum_search.diffusion.process import (
    QUANTILE_MARGIN,
    Estimate,
    Network,
    Process,
    mean_over_pixels,
    per_image,
)

#: JiT divides by the share of noise, and by no less than this.
_SMALLEST_SHARE = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flow(Process):
    """x_t = (1 - t) image + t noise, and the loss is that of the velocity noise - image.

    Time runs from data at t = 0 to noise at t = 1, as in SiT's paper; SiT's code counts the other way.

    Attributes:
        prediction: what the network predicts: the velocity, or the clean image (``x0``), from which the velocity
            (x_t - x0) / max(t, 0.05) follows (JiT, Li & He 2025, arXiv 2511.13720).
        shift: s of t = s q / (1 + (s - 1) q), in training and generation alike: more noise for larger images (Esser et
            al. 2024, arXiv 2403.03206, eq. 23).  1: t = q.
    """

    kind: Literal["flow"] = "flow"
    prediction: Literal["velocity", "x0"] = later("velocity")
    shift: float = later(1.0)

    def __post_init__(self) -> None:
        if self.prediction not in ("velocity", "x0"):
            raise ValueError(f"prediction must be one of velocity, x0, not {self.prediction!r}")
        if not (math.isfinite(self.shift) and self.shift > 0):
            raise ValueError(f"shift must be positive, not {self.shift}")

    def losses(self, network: Network, images: Tensor, q: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """Mean squared error of the velocity."""
        t = self.level(q).float()
        x = per_image(1.0 - t) * images + per_image(t) * noise
        out = network(x, t, condition).float()
        if self.prediction == "x0":
            return mean_over_pixels(((images - out) / per_image(t.clamp(min=_SMALLEST_SHARE))).square())
        return mean_over_pixels((out - (noise - images)).square())

    def estimate_at(self, network: Network, x: Tensor, level: Tensor, condition: Condition) -> Estimate:
        out = network(x, level, condition).float()
        is_velocity = self.prediction == "velocity"
        velocity = out if is_velocity else (x - out) / per_image(level.clamp(min=_SMALLEST_SHARE))
        return Estimate(x - per_image(level) * velocity, x + per_image(1.0 - level) * velocity)

    def log_eps_loss_ratio(self, log_snr: Tensor) -> Tensor:
        # eps = x + (1 - t) v, and 1 - t = sqrt(SNR) / (1 + sqrt(SNR))
        of_velocity = 2.0 * F.logsigmoid(0.5 * log_snr)
        if self.prediction == "velocity":
            return of_velocity
        # Where t is below the bound, the error of the velocity is smaller than that of the image over t.
        log_share = F.logsigmoid(-0.5 * log_snr)
        return of_velocity + 2.0 * (log_share.clamp(min=math.log(_SMALLEST_SHARE)) - log_share)

    def _log_snr(self, q: Tensor) -> Tensor:
        q = self._inner(q)
        return 2.0 * (torch.log1p(-q) - q.log() - math.log(self.shift))

    def _level(self, q: Tensor) -> Tensor:
        q = self._inner(q)
        return self.shift * q / (1.0 + (self.shift - 1.0) * q)

    def _quantile(self, level: Tensor) -> Tensor:
        return level / (self.shift - (self.shift - 1.0) * level)

    def _inner(self, q: Tensor) -> Tensor:
        return q.clamp(QUANTILE_MARGIN, 1.0 - QUANTILE_MARGIN)

    def _coefficients(self, level: Tensor) -> tuple[Tensor, Tensor]:
        t = level.float()
        return 1.0 - t, t
