"""Samplers of the discrete process: DDIM and DDPM's own.

The coefficients of all steps are Python floats, so that nothing waits for the device between steps.
"""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from curriculum_search.conditions import Condition
from curriculum_search.diffusion.ddpm import DDPM, schedule_tables
from curriculum_search.diffusion.process import Network, Process
from curriculum_search.diffusion.sampling import Sampler, filled, kind_of, require_steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImplicitSampler(Sampler):
    """DDIM (Song et al. 2021, arXiv 2010.02502, eq. 12) on some of the timesteps; the last step returns its own x_0.

    Attributes:
        num_steps: network calls.
        eta: share of DDPM's noise: 0 is deterministic, 1 ancestral.
        clip_x0: clip each estimate of x_0 to [-1, 1], as published for images, where the encoder says that values are
            bounded by it; the noise estimate follows.
    """

    num_steps: int = 50
    eta: float = 0.0
    clip_x0: bool = True

    def __post_init__(self) -> None:
        require_steps(self.num_steps)
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must be in [0, 1], not {self.eta}")

    @abstractmethod
    def timesteps(self, num_timesteps: int) -> np.ndarray:
        """int64 [num_steps], increasing, of a process of ``num_timesteps``.

        Raises:
            ValueError: it has no such timesteps.
        """

    def check(self, process: Process) -> None:
        self.timesteps(_discrete(self, process, self.num_steps).num_timesteps)

    def unclipped(self) -> Self:
        return dataclasses.replace(self, clip_x0=False)

    @torch.no_grad()
    def sample(
        self,
        process: Process,
        network: Network,
        noise: Tensor,
        condition: Condition,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        ddpm = _discrete(self, process, self.num_steps)
        timesteps = self.timesteps(ddpm.num_timesteps)
        abar = np.append(1.0, ddpm.alphas_cumprod()[timesteps])
        x = noise.float()
        for i in reversed(range(self.num_steps)):
            estimate = ddpm.estimate_at(network, x, filled(x, int(timesteps[i])), condition)
            x0, eps = estimate.x0, estimate.eps
            here, cleaner = float(abar[i + 1]), float(abar[i])
            if self.clip_x0:
                x0 = x0.clamp(-1.0, 1.0)
                eps = (x - math.sqrt(here) * x0) / math.sqrt(1.0 - here)
            std = self.eta * math.sqrt((1.0 - cleaner) / (1.0 - here) * (1.0 - here / cleaner))
            x = math.sqrt(cleaner) * x0 + math.sqrt(max(1.0 - cleaner - std**2, 0.0)) * eps
            if std > 0:
                x = x + std * _noise(generators, x)
        return x


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDIMSampler(ImplicitSampler):
    """DDIM on `spaced_timesteps`, from the first to the last.  See `ImplicitSampler` for the fields."""

    kind: Literal["ddim"] = "ddim"

    def timesteps(self, num_timesteps: int) -> np.ndarray:
        return spaced_timesteps(num_timesteps, self.num_steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StridedDDIMSampler(ImplicitSampler):
    """DDIM on every k-th timestep from 0 on, which published results call ``ddimN``: 0, 20, .., 980 for 50 of 1,000.

    Sampling starts before the noisiest timestep.  k is the smallest stride that gives ``num_steps`` timesteps, as in
    improved-diffusion.  See `ImplicitSampler` for the fields.
    """

    kind: Literal["ddim_strided"] = "ddim_strided"

    def timesteps(self, num_timesteps: int) -> np.ndarray:
        counts = {len(range(0, num_timesteps, stride)): stride for stride in range(num_timesteps - 1, 0, -1)}
        if self.num_steps not in counts:
            near = sorted(sorted(counts, key=lambda count: abs(count - self.num_steps))[:2])
            raise ValueError(
                f"num_steps of sampler ddim_strided must come from a whole stride through {num_timesteps} timesteps, "
                f"such as {' or '.join(map(str, near))}, not {self.num_steps}"
            )
        return np.arange(0, num_timesteps, counts[self.num_steps], dtype=np.int64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDPMSampler(Sampler):
    """Ancestral sampling (Ho et al. 2020, algorithm 2), on `spaced_timesteps` as improved-diffusion respaces it.

    The variance of a step is the learned one, or else the posterior's.

    Attributes:
        num_steps: network calls.
        clip_x0: clip each estimate of x_0 to [-1, 1], where the encoder says that values are bounded by it.
    """

    kind: Literal["ddpm"] = "ddpm"
    num_steps: int = 250
    clip_x0: bool = True

    def __post_init__(self) -> None:
        require_steps(self.num_steps)

    def check(self, process: Process) -> None:
        _discrete(self, process, self.num_steps)

    def unclipped(self) -> Self:
        return dataclasses.replace(self, clip_x0=False)

    @torch.no_grad()
    def sample(
        self,
        process: Process,
        network: Network,
        noise: Tensor,
        condition: Condition,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        ddpm = _discrete(self, process, self.num_steps)
        timesteps = spaced_timesteps(ddpm.num_timesteps, self.num_steps)
        abar = ddpm.alphas_cumprod()[timesteps]
        tables = schedule_tables(1.0 - abar / np.append(1.0, abar[:-1]))
        log_beta, log_posterior = tables.beta.log().tolist(), tables.posterior_log_variance.tolist()
        from_x0, from_x = tables.posterior_x0.tolist(), tables.posterior_xt.tolist()
        x = noise.float()
        for i in reversed(range(self.num_steps)):
            estimate = ddpm.estimate_at(network, x, filled(x, int(timesteps[i])), condition)
            x0 = estimate.x0.clamp(-1.0, 1.0) if self.clip_x0 else estimate.x0
            x = from_x0[i] * x0 + from_x[i] * x
            if i == 0:
                break
            if estimate.variance_fraction is None:
                x = x + math.exp(0.5 * log_posterior[i]) * _noise(generators, x)
            else:
                log_variance = torch.lerp(
                    torch.full_like(x, log_posterior[i]), torch.full_like(x, log_beta[i]), estimate.variance_fraction
                )
                x = x + torch.exp(0.5 * log_variance) * _noise(generators, x)
        return x


def spaced_timesteps(num_timesteps: int, num_steps: int) -> np.ndarray:
    """``num_steps`` timesteps from 0 to num_timesteps - 1, both included, as evenly as integers can: int64, increasing.

    These are the timesteps of improved-diffusion and DiT for a respacing of one section.  A single step starts at the
    noisiest.
    """
    if num_steps == 1:
        return np.array([num_timesteps - 1])
    stride = (num_timesteps - 1) / (num_steps - 1)
    return np.asarray(np.rint(np.arange(num_steps) * stride), dtype=np.int64)


def _noise(generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    return torch.stack([torch.randn(like.shape[1:], generator=g) for g in generators]).to(like.device)


def _discrete(sampler: Sampler, process: Process, num_steps: int) -> DDPM:
    if not isinstance(process, DDPM):
        raise ValueError(f"sampler {kind_of(sampler)} needs process ddpm, not {kind_of(process)}: use heun or euler")
    if num_steps > process.num_timesteps:
        raise ValueError(f"num_steps must be at most the process's {process.num_timesteps} timesteps, not {num_steps}")
    return process
