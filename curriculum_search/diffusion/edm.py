"""The process of EDM (Karras et al. 2022, arXiv 2206.00364): x = image + sigma noise, with preconditioning."""

import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor

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
class EDM(Process):
    """EDM: q = Phi((ln sigma - p_mean) / p_std), so that the published log-normal is uniform in q.

    Attributes:
        p_mean: mean of ln sigma.
        p_std: standard deviation of ln sigma.
        sigma_data: standard deviation of the images' pixels, for the preconditioning.
    """

    kind: Literal["edm"] = "edm"
    p_mean: float = -1.2
    p_std: float = 1.2
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        for name in ("p_std", "sigma_data"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")

    @property
    def prediction(self) -> str:
        return "denoised"

    def losses(self, network: Network, images: Tensor, q: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """Mean of (D(x; sigma) - image)^2, without the weight lambda(sigma), which `EDMWeighting` gives."""
        sigma = self.level(q).float()
        x = images + per_image(sigma) * noise
        return mean_over_pixels((self._denoise(network, x, sigma, condition) - images).square())

    def estimate_at(self, network: Network, x: Tensor, level: Tensor, condition: Condition) -> Estimate:
        x0 = self._denoise(network, x, level, condition)
        return Estimate(x0, (x - x0) / per_image(level))

    def log_eps_loss_ratio(self, log_snr: Tensor) -> Tensor:
        return log_snr  # eps = (x - D) / sigma, and SNR = 1 / sigma^2

    def _denoise(self, network: Network, x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
        """D(x; sigma), EDM's eq. 7 with the coefficients of table 1."""
        total = sigma.square() + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = sigma * self.sigma_data * total.rsqrt()
        c_in = total.rsqrt()
        c_noise = sigma.log() / 4.0
        out = network(per_image(c_in) * x, c_noise, condition).float()
        denoised: Tensor = per_image(c_skip) * x + per_image(c_out) * out
        return denoised

    def _log_snr(self, q: Tensor) -> Tensor:
        return -2.0 * self._log_sigma(q)

    def _level(self, q: Tensor) -> Tensor:
        return self._log_sigma(q).exp()

    def _quantile(self, level: Tensor) -> Tensor:
        # erfc keeps the digits of the lower tail, which torch's ndtr rounds to zero.
        q: Tensor = 0.5 * torch.special.erfc((self.p_mean - level.log()) / (self.p_std * math.sqrt(2.0)))
        return q

    def _coefficients(self, level: Tensor) -> tuple[Tensor, Tensor]:
        sigma = level.float()
        return torch.ones_like(sigma), sigma

    def _log_sigma(self, q: Tensor) -> Tensor:
        z = torch.special.ndtri(q.clamp(QUANTILE_MARGIN, 1.0 - QUANTILE_MARGIN))
        log_sigma: Tensor = self.p_mean + self.p_std * z
        return log_sigma
