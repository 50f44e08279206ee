"""Loss weights that are learned with the network, from how uncertain it is at each noise level."""

import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor, nn

from curriculum_search.diffusion.process import Process
from curriculum_search.diffusion.weighting import EDMWeighting, LearnedWeighting, Weighting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uncertainty(LearnedWeighting):
    """Learned uncertainty (EDM2, Karras et al. 2024, arXiv 2312.02696): a loss L becomes w L / exp(u) + u.

    u depends on the noise level alone.  The sum is least where exp(u) is the mean of w L there, so that in the end each
    level weighs the same, whatever its loss.  u is a linear layer on random Fourier features of ln(sigma) / 4, as in
    EDM2's code, with weights of norm 1, by which it follows w L over a factor of some 50 to either side.  So w L should
    be near 1 at first.  With the default base it is where the network predicts D of EDM, v or the velocity; where it
    predicts the noise, with ``none``.

    Attributes:
        base: the weighting w that it starts from, a fixed one; EDM's is the published.
        channels: Fourier features.
        learning_rate: of u, in the place of the network's; it rises and falls with that one.  u has no weight decay,
            and its gradients are not clipped.
    """

    kind: Literal["uncertainty"] = "uncertainty"
    base: Weighting = dataclasses.field(default_factory=EDMWeighting)
    channels: int = 128
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.base, LearnedWeighting):
            raise ValueError(f"base must be a weighting that is not learned, not {self.base.to_dict()['kind']}")
        if self.channels < 1:
            raise ValueError(f"channels must be at least 1, not {self.channels}")

    def weights(self, log_snr: Tensor, process: Process) -> Tensor:
        """The factors of ``base``."""
        return self.base.weights(log_snr, process)

    def build(self, generator: torch.Generator) -> nn.Module:
        return LogVariance(self.channels, generator)


class LogVariance(nn.Module):
    """u, and the objective that it is learned from.

    Args:
        channels: Fourier features.
        generator: on the CPU, for the features and the first weights.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2.0 * math.pi * torch.randn(channels, generator=generator))
        self.register_buffer("phases", 2.0 * math.pi * torch.rand(channels, generator=generator))
        self.weight = nn.Parameter(torch.randn(channels, generator=generator))

    def u(self, log_snr: Tensor) -> Tensor:
        """ln of what the loss at ``log_snr`` [B] is divided by, float32 [B]."""
        c_noise = -log_snr.float() / 8.0  # ln(sigma) / 4, for sigma is noise over signal
        features = math.sqrt(2.0) * torch.cos(c_noise[:, None] * self.frequencies + self.phases)
        u: Tensor = features @ (self.weight / torch.linalg.vector_norm(self.weight))
        return u

    def forward(self, losses: Tensor, log_snr: Tensor) -> Tensor:
        """losses / exp(u) + u, float32 [B]."""
        if self.training:
            # EDM2's forced weight normalisation: the parameter itself stays of unit size, so that steps stay as long.
            with torch.no_grad():
                size = torch.linalg.vector_norm(self.weight) / math.sqrt(self.weight.numel())
                self.weight.copy_(self.weight / size)
        u = self.u(log_snr)
        return losses * torch.exp(-u) + u
