"""Densities of training noise levels that follow the losses of the training itself."""

import dataclasses
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch

from curriculum_search.diffusion.density import Density
from curriculum_search.diffusion.piecewise import PiecewiseDensity

if TYPE_CHECKING:
    from curriculum_search.diffusion.process import Process


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptiveDensity(Density):
    """A density that follows the losses observed in training.

    Attributes:
        history: losses remembered per bin.
        uniform_share: share of a uniform density mixed in, so that no level is forgotten.
        num_bins: bins of equal width in q; None: one per timestep, or 100 where levels are continuous.
    """

    adaptive: ClassVar[bool] = True
    unbiased: ClassVar[bool]
    """Whether losses are weighted so that their expectation stays that of uniform levels."""

    history: int
    uniform_share: float
    num_bins: int | None = None

    def __post_init__(self) -> None:
        if self.history < 1:
            raise ValueError(f"history must be at least 1, not {self.history}")
        if not 0 <= self.uniform_share <= 1:
            raise ValueError(f"uniform_share must be in [0, 1], not {self.uniform_share}")
        if self.num_bins is not None and self.num_bins < 1:
            raise ValueError(f"num_bins must be at least 1 or null, not {self.num_bins}")

    def bins(self, process: "Process") -> int:
        """The number of bins of equal width in q for ``process``."""
        return self.num_bins or process.num_levels or 100

    def piecewise(self, process: "Process") -> PiecewiseDensity:
        """What it starts from: uniform."""
        return PiecewiseDensity.from_masses(np.linspace(0.0, 1.0, self.bins(process) + 1), np.ones(self.bins(process)))

    def resolved(self, process: "Process") -> Density:
        return self

    def learned(self, losses: np.ndarray, process: "Process") -> PiecewiseDensity:
        """The density for the remembered losses; uniform until every bin has ``history`` of them.

        Args:
            losses: float64 [num_bins, history], unweighted losses per bin; NaN where none has been seen yet.
            process: whose losses they are.
        """
        edges = np.linspace(0.0, 1.0, len(losses) + 1)
        masses = self._masses(losses, process)
        if np.any(np.isnan(masses)) or not masses.sum() > 0:
            return PiecewiseDensity.from_masses(edges, np.ones(len(losses)))
        mixed = (1 - self.uniform_share) * masses / masses.sum() + self.uniform_share / len(losses)
        return PiecewiseDensity.from_masses(edges, mixed)

    @abstractmethod
    def _masses(self, losses: np.ndarray, process: "Process") -> np.ndarray:
        """The mass of each bin, float64 [num_bins], not normalised; NaN where losses are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossSecondMoment(AdaptiveDensity):
    """Density proportional to the root mean square of the last losses of each level (Nichol & Dhariwal 2021, eq. 18).

    Uniform until every bin has ``history`` losses.  A loss is to be weighted by 1 / (bins * mass), which keeps the
    expectation that of uniform levels.
    """

    kind: Literal["loss_second_moment"] = "loss_second_moment"
    history: int = 10
    uniform_share: float = 0.001
    unbiased: ClassVar[bool] = True

    def _masses(self, losses: np.ndarray, process: "Process") -> np.ndarray:
        return np.asarray(np.sqrt(np.mean(np.square(losses), axis=1)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EntropyRate(AdaptiveDensity):
    """Levels as often as what is known of the image changes there: an online density from the losses of training.

    By the I-MMSE relation (Guo, Shamai & Verdu 2005) the entropy of the clean image given the noisy one changes along
    log-SNR at half of what remains of the noise: d H / d(-log-SNR) = dimensions / 2 * (loss on the noise), where the
    network predicts as well as can be.  So the density over log-SNR is proportional to the mean loss on the noise, into
    which the process translates its own.  The idea is that of InfoNoise (Raya et al. 2026, arXiv 2602.18647), as far as
    its abstract tells it; bins, memory and the uniform share are choices made here.  As there, the draw alone changes
    and losses are not weighted back.

    Of an infinitely clean or noisy end, which continuous processes have, a bin counts up to a quarter of its width.
    """

    kind: Literal["entropy_rate"] = "entropy_rate"
    history: int = 32
    uniform_share: float = 0.1
    unbiased: ClassVar[bool] = False

    def _masses(self, losses: np.ndarray, process: "Process") -> np.ndarray:
        num_bins = len(losses)
        edges = np.arange(num_bins + 1.0)
        edges[0], edges[-1] = 0.25, num_bins - 0.25
        middles = torch.from_numpy((np.arange(num_bins) + 0.5) / num_bins)
        on_noise = process.log_eps_loss_ratio(process.log_snr(middles)).exp().numpy()
        widths = -np.diff(process.log_snr(edges / num_bins))
        return np.asarray(np.mean(losses, axis=1) * on_noise * widths)
