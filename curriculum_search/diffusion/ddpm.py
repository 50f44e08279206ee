"""The discrete process of DDPM (Ho et al. 2020, arXiv 2006.11239), with learned variances (Nichol & Dhariwal 2021)."""

import dataclasses
import functools
import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from curriculum_search.conditions import Condition
from curriculum_search.diffusion.process import Estimate, Network, Process, mean_over_pixels, per_image

# One level of an 8-bit image, on its [-1, 1] scale, to each side.
_HALF_BIN = 1.0 / 255.0


class Tables(NamedTuple):
    """A schedule's constants per timestep; float64 [T] in `schedule_tables`, float32 on the device of a network."""

    beta: Tensor
    alpha: Tensor
    """sqrt of the cumulative product of 1 - beta: x_t = alpha x_0 + sigma eps."""
    sigma: Tensor
    posterior_log_variance: Tensor
    """ln of the variance of q(x_{t-1} | x_t, x_0); at t = 0, where it is zero, that of t = 1."""
    posterior_x0: Tensor
    """Coefficient of x_0 in the mean of q(x_{t-1} | x_t, x_0)."""
    posterior_xt: Tensor
    """Coefficient of x_t in it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDPM(Process):
    """DDPM: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps for t = 0 .. T-1, and q = (t + u) / T with u in [0, 1).

    Attributes:
        schedule: ``linear``, betas from 1e-4 to 0.02 times 1000 / T, or ``cosine`` (Nichol & Dhariwal 2021, eq. 17,
            s = 0.008, betas at most 0.999).
        num_timesteps: T.
        prediction: what the network predicts: the noise, the clean image, or v = alpha eps - sigma x_0.
        learned_variance: the network has 2 C output channels; the second half places the step's variance between the
            posterior's and beta, and a variational bound trains it (as in improved-diffusion and DiT).
    """

    kind: Literal["ddpm"] = "ddpm"
    schedule: Literal["linear", "cosine"] = "linear"
    num_timesteps: int = 1000
    prediction: Literal["epsilon", "x0", "v"] = "epsilon"
    learned_variance: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("schedule", ("linear", "cosine")), ("prediction", ("epsilon", "x0", "v"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        fewest = 21 if self.schedule == "linear" else 2  # With 20 the last scaled linear beta is 1: nothing but noise.
        if self.num_timesteps < fewest:
            raise ValueError(
                f"num_timesteps must be at least {fewest} with the {self.schedule} schedule, not {self.num_timesteps}"
            )

    @property
    def num_levels(self) -> int:
        return self.num_timesteps

    def out_channels(self, channels: int) -> int:
        return 2 * channels if self.learned_variance else channels

    def alphas_cumprod(self) -> np.ndarray:
        """abar_t, float64 [T]."""
        return np.cumprod(1.0 - betas(self.schedule, self.num_timesteps))

    def losses(self, network: Network, images: Tensor, q: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        """Mean squared error of what is predicted; with learned variance plus the bound in bits, times T / 1000.

        The bound's gradient reaches the variance only (Nichol & Dhariwal 2021, section 3.1).
        """
        t = self.level(q)
        tables = self._tables(images.device)
        alpha, sigma = per_image(tables.alpha[t]), per_image(tables.sigma[t])
        x = alpha * images + sigma * noise
        out = network(x, t.float(), condition).float()
        predicted, variance = out.chunk(2, dim=1) if self.learned_variance else (out, None)
        if self.prediction == "epsilon":
            target = noise
        elif self.prediction == "x0":
            target = images
        else:
            target = alpha * noise - sigma * images
        loss = mean_over_pixels((predicted - target).square())
        if variance is None:
            return loss
        x0, _ = self._x0_and_eps(predicted.detach(), x, alpha, sigma)
        log_variance = self._log_variance(0.5 * (variance + 1.0), t, tables)
        bound = _bound_in_bits(images, x, x0, log_variance, t, tables)
        return loss + bound * (self.num_timesteps / 1000.0)

    def estimate_at(self, network: Network, x: Tensor, level: Tensor, condition: Condition) -> Estimate:
        tables = self._tables(x.device)
        out = network(x, level.float(), condition).float()
        predicted, variance = out.chunk(2, dim=1) if self.learned_variance else (out, None)
        x0, eps = self._x0_and_eps(predicted, x, per_image(tables.alpha[level]), per_image(tables.sigma[level]))
        if variance is None:
            return Estimate(x0, eps)
        return Estimate(x0, eps, 0.5 * (variance + 1.0))

    def log_eps_loss_ratio(self, log_snr: Tensor) -> Tensor:
        if self.prediction == "epsilon":
            return torch.zeros_like(log_snr)
        if self.prediction == "x0":  # eps = (x - alpha x0) / sigma
            return log_snr
        return F.logsigmoid(log_snr)  # eps = sigma x + alpha v, and alpha^2 = SNR / (1 + SNR)

    def _x0_and_eps(self, predicted: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        if self.prediction == "epsilon":
            return (x - sigma * predicted) / alpha, predicted
        if self.prediction == "x0":
            return predicted, (x - alpha * predicted) / sigma
        return alpha * x - sigma * predicted, sigma * x + alpha * predicted

    def _log_variance(self, fraction: Tensor, t: Tensor, tables: Tables) -> Tensor:
        """Nichol & Dhariwal 2021, eq. 15."""
        largest, smallest = tables.beta[t].log(), tables.posterior_log_variance[t]
        return fraction * per_image(largest) + (1.0 - fraction) * per_image(smallest)

    def _log_snr(self, q: Tensor) -> Tensor:
        return _device_log_snr(self.schedule, self.num_timesteps, q.device)[self._level(q)]

    def _level(self, q: Tensor) -> Tensor:
        # The factor forgives q = t / T its rounding, which may be one bit low; no float32 lies within it of a border.
        t = torch.floor(q * (self.num_timesteps * (1.0 + 2.0**-51)))
        return t.to(torch.int64).clamp_(0, self.num_timesteps - 1)

    def _quantile(self, level: Tensor) -> Tensor:
        return (level + 0.5) / self.num_timesteps

    def _coefficients(self, level: Tensor) -> tuple[Tensor, Tensor]:
        tables = self._tables(level.device)
        return tables.alpha[level], tables.sigma[level]

    def _tables(self, device: torch.device) -> Tables:
        return _device_tables(self.schedule, self.num_timesteps, device)


def betas(schedule: str, num_timesteps: int) -> np.ndarray:
    """The variances of the noise added at each timestep, float64 [T], as improved-diffusion has them."""
    if schedule == "linear":
        scale = 1000.0 / num_timesteps
        return np.linspace(scale * 1e-4, scale * 0.02, num_timesteps, dtype=np.float64)
    s = 0.008
    f = np.cos((np.arange(num_timesteps + 1) / num_timesteps + s) / (1.0 + s) * (math.pi / 2.0)) ** 2
    return np.asarray(np.minimum(1.0 - f[1:] / f[:-1], 0.999))


def schedule_tables(beta: np.ndarray) -> Tables:
    """The constants of a schedule (also of one that skips timesteps) for ``beta`` float64 [T]."""
    cumulative = np.cumprod(1.0 - beta)
    previous = np.append(1.0, cumulative[:-1])
    variance = beta * (1.0 - previous) / (1.0 - cumulative)
    return Tables(
        *(
            torch.from_numpy(values)
            for values in (
                beta,
                np.sqrt(cumulative),
                np.sqrt(1.0 - cumulative),
                np.log(np.append(variance[1:2] if len(beta) > 1 else beta, variance[1:])),
                beta * np.sqrt(previous) / (1.0 - cumulative),
                (1.0 - previous) * np.sqrt(1.0 - beta) / (1.0 - cumulative),
            )
        )
    )


@functools.cache
def _device_tables(schedule: str, num_timesteps: int, device: torch.device) -> Tables:
    return Tables(*(t.float().to(device) for t in schedule_tables(betas(schedule, num_timesteps))))


@functools.cache
def _device_log_snr(schedule: str, num_timesteps: int, device: torch.device) -> Tensor:
    cumulative = np.cumprod(1.0 - betas(schedule, num_timesteps))
    return torch.from_numpy(np.log(cumulative) - np.log1p(-cumulative)).to(device)


def _bound_in_bits(images: Tensor, x: Tensor, x0: Tensor, log_variance: Tensor, t: Tensor, tables: Tables) -> Tensor:
    """Term t of the variational bound, [B], in bits per pixel.

    It is KL(q(x_{t-1}|x_t,x_0) || p(x_{t-1}|x_t)), or -ln p(x_0|x_1) at t = 0.
    """
    from_x0, from_xt = per_image(tables.posterior_x0[t]), per_image(tables.posterior_xt[t])
    mean_true, mean = from_x0 * images + from_xt * x, from_x0 * x0 + from_xt * x
    log_variance_true = per_image(tables.posterior_log_variance[t])
    kl = 0.5 * (
        log_variance
        - log_variance_true
        + torch.exp(log_variance_true - log_variance)
        + (mean_true - mean).square() * torch.exp(-log_variance)
        - 1.0
    )
    nats = torch.where(t == 0, mean_over_pixels(_discretised_nll(images, mean, log_variance)), mean_over_pixels(kl))
    return nats / math.log(2.0)


def _discretised_nll(images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-ln of the Gaussian's mass in the 8-bit bin of each pixel; the first and last bins reach to infinity.

    DiT's code takes it for latents as well, which have no bins; so it is the same here.
    """
    precision = torch.exp(-0.5 * log_variance)
    below = _normal_cdf(precision * (images - mean - _HALF_BIN))
    above = _normal_cdf(precision * (images - mean + _HALF_BIN))
    below = torch.where(images < -0.999, 0.0, below)
    above = torch.where(images > 0.999, 1.0, above)
    return -torch.log((above - below).clamp(min=1e-12))


def _normal_cdf(z: Tensor) -> Tensor:
    """The tanh approximation of improved-diffusion, kept so that losses can be compared with its own."""
    return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)))
