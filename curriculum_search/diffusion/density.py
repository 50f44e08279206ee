"""Base densities of training noise levels, as densities over the noise quantile q.

A density knows neither levels nor clusters; the process translates q into its own level, and a curriculum restricts the
`PiecewiseDensity` that `Density.piecewise` returns.
"""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
import torch

from curriculum_search.config import Kinded
from curriculum_search.diffusion.piecewise import DeviceTable, PiecewiseDensity

if TYPE_CHECKING:
    from curriculum_search.diffusion.process import Process

__all__ = [
    "Beta",
    "Density",
    "DeviceTable",
    "Histogram",
    "Laplace",
    "LogNormal",
    "LogitNormal",
    "PiecewiseDensity",
    "Speed",
    "Uniform",
]


class Density(Kinded):
    """A density of training noise levels over q in [0, 1], 0 = clean, 1 = noise."""

    adaptive: ClassVar[bool] = False
    """Whether the density follows the losses observed in training."""

    moves: ClassVar[bool] = False
    """Whether the density changes with the share of the budget that is spent, which makes it a curriculum."""

    @abstractmethod
    def piecewise(self, process: "Process") -> PiecewiseDensity:
        """This density for ``process``, as a histogram over q.

        That is where it starts if it adapts, and where it ends if it moves.
        """
        raise NotImplementedError

    def resolved(self, process: "Process") -> "Density":
        """The same density in numbers, for a file that is followed without the process's formulas."""
        return Histogram.of(self.piecewise(process))

    def canonical(self) -> "Density":
        """The one representative of all densities that draw alike: fields without effect are gone."""
        return self


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uniform(Density):
    """Uniform over q: uniform timesteps for DDPM, the process's own log-normal for EDM, uniform t for flow."""

    kind: Literal["uniform"] = "uniform"

    def piecewise(self, process: "Process") -> PiecewiseDensity:
        return PiecewiseDensity(np.array([0.0, 1.0]), np.array([0.0, 1.0]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogNormal(Density):
    """ln sigma ~ N(mean, std^2), where sigma is noise over signal, so ln sigma = -log-SNR / 2 (EDM, table 1).

    On a discrete process each timestep gets the mass between the midpoints to its neighbours on the ln sigma axis.

    Attributes:
        mean: of ln sigma.
        std: standard deviation of ln sigma.
    """

    kind: Literal["lognormal"] = "lognormal"
    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self) -> None:
        _require_positive(self, "std")

    def piecewise(self, process: "Process") -> PiecewiseDensity:
        return _over_log_sigma(process, lambda log_sigma: _normal_cdf((log_sigma - self.mean) / self.std))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Laplace(Density):
    """log-SNR ~ Laplace(mean, scale): density exp(-|log-SNR - mean| / scale) / (2 scale) (Hang et al. 2024, arXiv
    2407.03297, table 1).

    On a discrete process each timestep gets the mass between the midpoints to its neighbours on the log-SNR axis.

    Attributes:
        mean: of the log-SNR.
        scale: mean distance from it.

    Attributes:
        mean: of the log-SNR; below 0 there are more noisy levels.
        scale: half-width on the log-SNR axis in which the density falls by a factor e.
    """

    kind: Literal["laplace"] = "laplace"
    mean: float = 0.0
    scale: float = 0.5

    def __post_init__(self) -> None:
        _require_positive(self, "scale")

    def piecewise(self, process: "Process") -> PiecewiseDensity:
        def cdf(log_sigma: np.ndarray) -> np.ndarray:
            z = (2.0 * log_sigma + self.mean) / self.scale  # rises with the noise
            tail = 0.5 * np.exp(-np.abs(z))
            return np.where(z < 0, tail, 1.0 - tail)

        return _over_log_sigma(process, cdf)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogitNormal(Density):
    """q = sigmoid(mean + std z) with z ~ N(0, 1) (Esser et al. 2024, arXiv 2403.03206, eq. 19).

    Attributes:
        mean: of logit(q); above 0 there are more noisy levels.
        std: standard deviation of logit(q).
    """

    kind: Literal["logit_normal"] = "logit_normal"
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        _require_positive(self, "std")

    def piecewise(self, process: "Process") -> PiecewiseDensity:
        return PiecewiseDensity.from_cdf(lambda q: _normal_cdf((_logit(q) - self.mean) / self.std))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beta(Density):
    """The Beta(a, b) distribution over q: its density is proportional to q^(a-1) (1-q)^(b-1).

    Attributes:
        a: below 1 the density has a pole at the clean end, above 1 a zero.
        b: the same at the noisy end.
    """

    kind: Literal["beta"] = "beta"
    a: float = 1.0
    b: float = 1.0

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            if not 0.05 <= getattr(self, name) <= 1e4:
                raise ValueError(f"{name} must be in [0.05, 10000], not {getattr(self, name)}")

    def piecewise(self, process: "Process") -> PiecewiseDensity:
        # Over z = logit(q) the density, q^a (1-q)^b, is smooth and falls off exponentially, whatever a and b, so that
        # the trapezoidal rule integrates it; over q it may have poles at both ends.
        z = np.linspace(-40.0 / min(self.a, 1.0), 40.0 / min(self.b, 1.0), 1 << 16)
        bulk = z[self._log_density(z) > self._log_density(z).max() - 40.0]
        z = np.linspace(bulk[0], bulk[-1], 1 << 16)
        density = np.exp(self._log_density(z) - self._log_density(z).max())
        integral = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
        integral /= integral[-1]
        return PiecewiseDensity.from_cdf(lambda q: np.interp(_logit(q), z, integral))

    def _log_density(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(-self.a * np.logaddexp(0.0, -z) - self.b * np.logaddexp(0.0, z))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speed(Density):
    """Levels below ``tau`` are ``k`` times as dense as those above (SpeeD, Wang et al. 2024, arXiv 2405.17403).

    Attributes:
        k: density below tau over density above it.
        tau: q at the border: SpeeD's timestep 700 of 1000 is 0.7.
    """

    kind: Literal["speed"] = "speed"
    k: float = 2.0
    tau: float = 0.7

    def __post_init__(self) -> None:
        _require_positive(self, "k")
        if not 0 < self.tau < 1:
            raise ValueError(f"tau must be in (0, 1), not {self.tau}")

    def piecewise(self, process: "Process") -> PiecewiseDensity:
        return PiecewiseDensity.from_masses([0.0, self.tau, 1.0], [self.k * self.tau, 1.0 - self.tau])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Histogram(Density):
    """Any density given by its bins: a recorded exposure, or one drawn by hand.

    Attributes:
        edges: increasing from 0 to 1.
        mass: the mass of each bin, one fewer than edges; not necessarily normalised.
    """

    kind: Literal["histogram"] = "histogram"
    edges: tuple[float, ...]
    mass: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mass) != len(self.edges) - 1:
            raise ValueError(f"mass must have one number fewer than edges ({len(self.edges)}), not {len(self.mass)}")
        PiecewiseDensity.from_masses(self.edges, self.mass)

    @classmethod
    def of(cls, density: PiecewiseDensity) -> Self:
        """A density by its knots: for an experiment file, or an exposure-matched control."""
        return cls(edges=tuple(density.knots.tolist()), mass=tuple(np.diff(density.cdf).tolist()))

    def piecewise(self, process: "Process") -> PiecewiseDensity:
        return PiecewiseDensity.from_masses(self.edges, self.mass)


def _require_positive(config: Density, name: str) -> None:
    value = getattr(config, name)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive, not {value}")


def _over_log_sigma(process: "Process", cdf: Callable[[np.ndarray], np.ndarray]) -> PiecewiseDensity:
    """The density over q of one that is given by its distribution function over ln sigma = -log-SNR / 2."""
    if process.num_levels is None:
        return PiecewiseDensity.from_cdf(lambda q: cdf(-0.5 * process.log_snr(q)))
    t = np.arange(process.num_levels)
    log_sigma = -0.5 * process.log_snr((t + 0.5) / process.num_levels)
    inner = cdf(0.5 * (log_sigma[1:] + log_sigma[:-1]))
    masses = np.diff(np.concatenate([[0.0], inner, [1.0]]))
    return PiecewiseDensity.from_masses(np.linspace(0.0, 1.0, process.num_levels + 1), np.maximum(masses, 0.0))


def _normal_cdf(z: np.ndarray) -> np.ndarray:
    # erfc keeps the digits of the lower tail, which torch's ndtr rounds to zero.
    return np.asarray(0.5 * torch.special.erfc(torch.from_numpy(np.asarray(-z / math.sqrt(2.0)))).numpy())


def _logit(q: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(q) - np.log1p(-q))
