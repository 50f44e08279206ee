"""Orders: which cluster is unlocked first, second, ..., last.

An order is a permutation of the clusters.  Cluster 0 is the cleanest, and the paper finds it the hardest to learn; it
also finds that difficulty grows towards the clean end, so "easy to hard" unlocks from the noisiest cluster down.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from curriculum_search.config import Kinded
from curriculum_search.curriculum._checks import require
from curriculum_search.curriculum.difficulty_file import CurveName, DifficultyFile, check_process

if TYPE_CHECKING:
    from curriculum_search.diffusion.process import Process


class Order(Kinded):
    """In which order clusters are unlocked."""

    all_at_once: ClassVar[bool] = False
    """Whether everything is unlocked from the first image on, which is ordinary training."""

    @abstractmethod
    def permutation(self, edges: np.ndarray) -> np.ndarray:
        """The clusters between `edges` [N + 1] in the order of their unlocking, int64 [N], first = first unlocked."""
        raise NotImplementedError

    def check(self, process: "Process") -> None:
        """Whether the order is meant for this noise process.

        Raises:
            ValueError: it is not.
        """


@dataclass(frozen=True, kw_only=True)
class EasyToHard(Order):
    """The noisiest cluster first (Kim et al. 2025)."""

    kind: Literal["easy_to_hard"] = "easy_to_hard"

    def permutation(self, edges: np.ndarray) -> np.ndarray:
        return np.arange(len(edges) - 1)[::-1].copy()


@dataclass(frozen=True, kw_only=True)
class HardToEasy(Order):
    """The cleanest cluster first: the anti-curriculum."""

    kind: Literal["hard_to_easy"] = "hard_to_easy"

    def permutation(self, edges: np.ndarray) -> np.ndarray:
        return np.arange(len(edges) - 1)


@dataclass(frozen=True, kw_only=True)
class RandomOrder(Order):
    """A random order, the same for the same seed: the control that Wu et al. (2021) ask for.

    Attributes:
        seed: of the order, and of nothing else.
    """

    kind: Literal["random"] = "random"
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.seed >= 0, "seed", "at least 0", self.seed)

    def permutation(self, edges: np.ndarray) -> np.ndarray:
        return np.random.Generator(np.random.PCG64(self.seed)).permutation(len(edges) - 1)


@dataclass(frozen=True, kw_only=True)
class MeasuredOrder(Order):
    """The cluster that was measured to be the easiest first; between equals, the noisier.

    Attributes:
        path: the difficulty.json file that jobs/difficulty.py wrote.
        curve: which of its two curves.
    """

    kind: Literal["measured"] = "measured"
    path: str
    curve: CurveName = "convergence"

    def permutation(self, edges: np.ndarray) -> np.ndarray:
        difficulty = DifficultyFile.load(self.path).curve(self.curve).over(edges)
        noisiest_first = np.arange(len(difficulty))[::-1]
        return noisiest_first[np.argsort(difficulty[::-1].round(12), kind="stable")]

    def check(self, process: "Process") -> None:
        check_process(self.path, self.curve, process.to_dict())


@dataclass(frozen=True, kw_only=True)
class GivenOrder(Order):
    """The order that one says: by hand, or that of another curriculum.

    Attributes:
        first_to_last: the clusters, 0 the cleanest, each once, as they are unlocked.
    """

    kind: Literal["given"] = "given"
    first_to_last: tuple[int, ...]

    def __post_init__(self) -> None:
        once = sorted(self.first_to_last) == list(range(len(self.first_to_last)))
        require(once, "first_to_last", f"each of 0..{len(self.first_to_last) - 1} once", list(self.first_to_last))

    def permutation(self, edges: np.ndarray) -> np.ndarray:
        clusters = len(edges) - 1
        if len(self.first_to_last) != clusters:
            raise ValueError(
                f"num_clusters must be {len(self.first_to_last)}, as order.first_to_last has them, not {clusters}"
            )
        return np.array(self.first_to_last, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class NoOrder(Order):
    """No curriculum: ordinary training, with every level unlocked from the start."""

    kind: Literal["none"] = "none"
    all_at_once: ClassVar[bool] = True

    def permutation(self, edges: np.ndarray) -> np.ndarray:
        return np.arange(len(edges) - 1)
