"""Accumulation: what is still trained once the next cluster is unlocked."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from curriculum_search.config import Kinded
from curriculum_search.curriculum._checks import require


class Accumulation(Kinded):
    """How the draws are shared out among the clusters unlocked so far."""

    keeps_shares: ClassVar[bool] = False
    """Whether clusters keep their masses in proportion, so that all clusters together are the base density."""

    @abstractmethod
    def shares(self, masses: np.ndarray) -> np.ndarray:
        """The share of the draws of each unlocked cluster, float64 [k], summing to 1.

        Args:
            masses: float64 [k], positive: the clusters' masses in the order of their unlocking, the newest last.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Cumulative(Accumulation):
    """Everything unlocked so far (Kim et al. 2025)."""

    kind: Literal["cumulative"] = "cumulative"
    keeps_shares: ClassVar[bool] = True

    def shares(self, masses: np.ndarray) -> np.ndarray:
        return np.asarray(masses / masses.sum())


@dataclass(frozen=True, kw_only=True)
class Newest(Accumulation):
    """The newest cluster alone."""

    kind: Literal["newest"] = "newest"

    def shares(self, masses: np.ndarray) -> np.ndarray:
        return np.asarray(np.eye(len(masses))[-1])


@dataclass(frozen=True, kw_only=True)
class Replay(Accumulation):
    """The newest cluster, and a constant share of draws from those before it.

    Attributes:
        share: share of the draws that replays earlier clusters, each according to its mass.
    """

    kind: Literal["replay"] = "replay"
    share: float = 0.2

    def __post_init__(self) -> None:
        require(0 < self.share < 1, "share", "in (0, 1) (newest replays nothing)", self.share)

    def shares(self, masses: np.ndarray) -> np.ndarray:
        earlier = masses[:-1]
        if len(earlier) == 0:
            return np.ones(1)
        return np.append(self.share * earlier / earlier.sum(), 1.0 - self.share)
