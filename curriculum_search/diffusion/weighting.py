"""Loss weights over noise levels, the same objective whatever the network predicts.

Published weights are stated for one loss (on the noise, or on the denoised image).  Here each says what it is on the
noise-prediction loss, and the process says how its native loss relates to that one, so that ``min_snr`` under
v-prediction is min(SNR, gamma) / (SNR + 1) without a case for it.  Everything is done on logarithms: SNR spans e^+-41.
"""

import dataclasses
import math
from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curriculum_search.config import Kinded
from curriculum_search.diffusion.process import Process


class Weighting(Kinded):
    """A weight on the loss at each noise level."""

    @abstractmethod
    def weights(self, log_snr: Tensor, process: Process) -> Tensor:
        """Factors on the native losses of ``process`` at ``log_snr``, of the same shape and dtype."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearnedWeighting(Weighting):
    """A weighting with parameters of its own, which are trained with the network and discarded with the run.

    Attributes:
        learning_rate: of these parameters, in the place of the network's; it rises and falls with that one.
    """

    learning_rate: float

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")

    @abstractmethod
    def build(self, generator: torch.Generator) -> nn.Module:
        """What is trained, untrained: a module that is called ``(losses [B], log_snr [B])`` and gives what is minimised
        for each image, [B].  The losses come to it multiplied by `weights`.

        Args:
            generator: on the CPU; its first values come from nowhere else.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoWeighting(Weighting):
    """The native loss as it is."""

    kind: Literal["none"] = "none"

    def weights(self, log_snr: Tensor, process: Process) -> Tensor:
        return torch.ones_like(log_snr)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinSNR(Weighting):
    """Min-SNR (Hang et al. 2023, arXiv 2303.09556): min(SNR, gamma) / SNR on the noise-prediction loss.

    Attributes:
        gamma: the SNR above which the weight falls.
    """

    kind: Literal["min_snr"] = "min_snr"
    gamma: float = 5.0

    def __post_init__(self) -> None:
        if not self.gamma > 0:
            raise ValueError(f"gamma must be positive, not {self.gamma}")

    def weights(self, log_snr: Tensor, process: Process) -> Tensor:
        on_eps = (math.log(self.gamma) - log_snr).clamp(max=0.0)
        return (on_eps + process.log_eps_loss_ratio(log_snr)).exp()


@dataclasses.dataclass(frozen=True, kw_only=True)
class P2(Weighting):
    """P2 (Choi et al. 2022, arXiv 2204.00227): 1 / (k + SNR)^gamma on the noise-prediction loss.

    Attributes:
        gamma: how strongly clean levels are weighted down; 0 is no weighting.
        k: keeps the weight of the noisiest levels finite.
    """

    kind: Literal["p2"] = "p2"
    gamma: float = 1.0
    k: float = 1.0

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise ValueError(f"gamma must not be negative, not {self.gamma}")
        if not self.k > 0:
            raise ValueError(f"k must be positive, not {self.k}")

    def weights(self, log_snr: Tensor, process: Process) -> Tensor:
        on_eps = -self.gamma * torch.logaddexp(log_snr, torch.full_like(log_snr, math.log(self.k)))
        return (on_eps + process.log_eps_loss_ratio(log_snr)).exp()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EDMWeighting(Weighting):
    """EDM's lambda = (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 on the loss of the denoised image.

    Karras et al. 2022, table 1.  sigma is noise over signal, 1 / sqrt(SNR), so that it applies to every process.

    Attributes:
        sigma_data: standard deviation of the images' pixels.
    """

    kind: Literal["edm"] = "edm"
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        if not self.sigma_data > 0:
            raise ValueError(f"sigma_data must be positive, not {self.sigma_data}")

    def weights(self, log_snr: Tensor, process: Process) -> Tensor:
        # lambda = 1 / sigma_data^2 + SNR, and the loss on the noise is SNR times that on the denoised image.
        on_eps = F.softplus(-log_snr - 2.0 * math.log(self.sigma_data))
        return (on_eps + process.log_eps_loss_ratio(log_snr)).exp()
