"""Samplers of the continuous processes: methods for their ordinary differential equation."""

import dataclasses
import itertools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from curriculum_search.conditions import Condition
from curriculum_search.diffusion.edm import EDM
from curriculum_search.diffusion.flow import Flow
from curriculum_search.diffusion.process import Network, Process
from curriculum_search.diffusion.sampling import Sampler, filled, kind_of, require_steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class ODESampler(Sampler):
    """What Euler's and Heun's methods share: the probability flow ODE of EDM, or flow matching's.

    EDM steps along `rho_schedule`, flow matching along `flow_schedule`.

    Attributes:
        num_steps: steps.
        rho: EDM only: how strongly the steps crowd at low noise (Karras et al. 2022, eq. 5).
        sigma_min: EDM only: the last noise level before 0.
        sigma_max: EDM only: the first noise level.
        clip: clip the samples to [-1, 1], where the encoder says that values are bounded by it.
    """

    num_steps: int = 50
    rho: float = 7.0
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    clip: bool = True

    def __post_init__(self) -> None:
        require_steps(self.num_steps)
        if not self.rho > 0:
            raise ValueError(f"rho must be positive, not {self.rho}")
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"sigma_min must be in (0, sigma_max {self.sigma_max}), not {self.sigma_min}")

    def check(self, process: Process) -> None:
        if not isinstance(process, EDM | Flow):
            raise ValueError(
                f"sampler {kind_of(self)} needs process edm or flow, not {kind_of(process)}: use ddim or ddpm"
            )

    def unclipped(self) -> Self:
        return dataclasses.replace(self, clip=False)

    @torch.no_grad()
    def sample(
        self,
        process: Process,
        network: Network,
        noise: Tensor,
        condition: Condition,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        self.check(process)

        def slope(x: Tensor, level: float) -> Tensor:
            """dx / dlevel."""
            estimate = process.estimate_at(network, x, filled(x, level), condition)
            return estimate.eps - estimate.x0 if isinstance(process, Flow) else estimate.eps

        levels: list[float]
        if isinstance(process, Flow):
            levels = flow_schedule(self.num_steps, process).tolist()
        else:
            levels = rho_schedule(self.num_steps, self.rho, self.sigma_min, self.sigma_max).tolist()
        # At the start either level is the standard deviation of the noise: 1 for flow, sigma_max for EDM.
        x = noise.float() * levels[0]
        for level, cleaner in itertools.pairwise(levels):
            x = self._step(slope, x, level, cleaner)
        return x.clamp(-1.0, 1.0) if self.clip else x

    @abstractmethod
    def _step(self, slope: Callable[[Tensor, float], Tensor], x: Tensor, level: float, cleaner: float) -> Tensor:
        """``x`` at ``level`` taken to ``cleaner``.

        A method that needs the slopes of earlier steps, as multistep methods do, overrides `sample` instead.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class EulerSampler(ODESampler):
    """Euler's method: one network call a step.  See `ODESampler` for the fields."""

    kind: Literal["euler"] = "euler"

    def _step(self, slope: Callable[[Tensor, float], Tensor], x: Tensor, level: float, cleaner: float) -> Tensor:
        return x + (cleaner - level) * slope(x, level)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeunSampler(ODESampler):
    """Heun's second-order method (Karras et al. 2022, algorithm 1).  See `ODESampler` for the fields.

    Two network calls a step, and one in the last, which is Euler's as published: 2 num_steps - 1 in all.
    """

    kind: Literal["heun"] = "heun"
    num_steps: int = 18

    def _step(self, slope: Callable[[Tensor, float], Tensor], x: Tensor, level: float, cleaner: float) -> Tensor:
        here = slope(x, level)
        ahead = x + (cleaner - level) * here
        if cleaner == 0.0:
            return ahead
        return x + (cleaner - level) * 0.5 * (here + slope(ahead, cleaner))


def rho_schedule(num_steps: int, rho: float, sigma_min: float, sigma_max: float) -> np.ndarray:
    """EDM's noise levels (Karras et al. 2022, eq. 5), float64 [num_steps + 1]: sigma_max .. sigma_min, 0."""
    ramp = np.arange(num_steps) / max(num_steps - 1, 1)
    low, high = sigma_min ** (1.0 / rho), sigma_max ** (1.0 / rho)
    return np.append((high + ramp * (low - high)) ** rho, 0.0)


def flow_schedule(num_steps: int, process: Flow) -> np.ndarray:
    """Flow's times, float64 [num_steps + 1]: 1 .. 0, those of equal steps in q.

    With the process's shift s that is t = s q / (1 + (s - 1) q), as in training (Esser et al. 2024, eq. 23).
    """
    q = np.linspace(1.0, 0.0, num_steps + 1)
    # The process keeps off the ends themselves, which a sampler begins and ends at.
    return np.concatenate([[1.0], process.level(q[1:-1]), [0.0]])
