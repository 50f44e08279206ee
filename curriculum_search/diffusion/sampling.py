"""Samplers: from noise and a network to images, as pure functions; the family, and classifier-free guidance.

The members are in `discrete` (ddim, ddim_strided, ddpm) and `ode` (euler, heun).
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from curriculum_search.conditions import Condition
from curriculum_search.config import Kinded
from curriculum_search.diffusion.process import Network, Process


class Sampler(Kinded):
    """A way to turn noise into images with a trained network."""

    @abstractmethod
    def check(self, process: Process) -> None:
        """Raise ValueError where this sampler does not fit ``process``."""

    def unclipped(self) -> "Sampler":
        """The sampler for values without bounds, as latents are.  One that clips overrides it."""
        return self

    @abstractmethod
    def sample(
        self,
        process: Process,
        network: Network,
        noise: Tensor,
        condition: Condition,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """What the network was trained on, float32 [B, C, H, W], for standard normal ``noise`` [B, C, H, W].

        Args:
            process: the process that the network was trained on.
            network: see `Network`; in evaluation mode.
            noise: decides device and shape of the result.
            condition: of the samples; it goes to the network as it is.
            generators: B generators on the CPU; a stochastic sampler draws sample i's noise from the i-th.

        Raises:
            ValueError: see `check`.
        """


def guided(network: Network, scale: float) -> Network:
    """``network`` with classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598).

    The result's prediction is unconditional + scale (conditional - unconditional), as DiT's and EDM2's scales count.
    One call of the result is one call of ``network`` on a batch twice as large.  The channels of a learned variance are
    those of the conditional half.

    Args:
        network: see `Network`; trained with some conditions dropped.
        scale: 1 is no guidance, and gives ``network`` itself.

    Raises:
        ValueError: the result is called with a condition that cannot be dropped.
    """
    if scale == 1.0:
        return network

    def both(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        out = network(torch.cat([x, x]), torch.cat([time, time]), condition.with_dropped())
        conditional, unconditional = out.chunk(2)
        channels = x.shape[1]
        mixed = torch.lerp(unconditional[:, :channels], conditional[:, :channels], scale)
        return torch.cat([mixed, conditional[:, channels:]], dim=1)

    return both


def filled(x: Tensor, level: float | int) -> Tensor:
    return torch.full((len(x),), level, device=x.device, dtype=torch.int64 if isinstance(level, int) else torch.float32)


def kind_of(part: Kinded) -> str:
    return str(getattr(part, "kind", type(part).__name__))


def require_steps(num_steps: int) -> None:
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, not {num_steps}")
