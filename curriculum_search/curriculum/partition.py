"""Partitions: where the noise levels are cut into clusters.

A cluster is an interval of the noise quantile q.  A partition into N clusters is an increasing float64 array of N + 1
edges from 0 (clean) to 1 (noise); cluster k is [edges[k], edges[k + 1]), so cluster 0 is the cleanest.
"""

import itertools
import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from curriculum_search.config import Kinded
from curriculum_search.curriculum._checks import require
from curriculum_search.curriculum.difficulty_file import CurveName, DifficultyFile, check_process

if TYPE_CHECKING:
    from curriculum_search.diffusion.density import PiecewiseDensity
    from curriculum_search.diffusion.process import Process

# A continuous process is cut between points of a grid this fine.
_GRID_POINTS = 1000


class Partition(Kinded):
    """A rule that cuts the noise levels into clusters.  A new one defines `cut`, and nothing else."""

    @abstractmethod
    def cut(self, process: "Process", density: "PiecewiseDensity", num_clusters: int) -> np.ndarray:
        """The inner edges, float64 [num_clusters - 1], increasing, inside (0, 1)."""
        raise NotImplementedError

    def check(self, process: "Process") -> None:
        """Whether the rule is meant for this noise process.

        Raises:
            ValueError: it is not.
        """

    def edges(self, process: "Process", density: "PiecewiseDensity", num_clusters: int) -> np.ndarray:
        """All edges, float64 [num_clusters + 1], strictly increasing from 0 to 1.

        Where levels are discrete, edges lie between levels, so that each timestep belongs to one cluster.

        Raises:
            ValueError: more clusters than levels, or no such partition exists.
        """
        if process.num_levels is not None and not 1 <= num_clusters <= process.num_levels:
            raise ValueError(f"num_clusters must be in [1, {process.num_levels}] (the timesteps), not {num_clusters}")
        edges = np.concatenate([[0.0], self.cut(process, density, num_clusters), [1.0]])
        if process.num_levels is not None:
            edges = _between_levels(edges, process.num_levels)
        if len(edges) != num_clusters + 1 or not np.all(np.diff(edges) > 0):
            raise ValueError(f"the partition gave no {num_clusters} clusters but the edges {edges.tolist()}")
        return edges


@dataclass(frozen=True, kw_only=True)
class UniformPartition(Partition):
    """Equal widths in q: equally many timesteps, equal widths of flow time, equal quantiles of EDM's log-normal."""

    kind: Literal["uniform"] = "uniform"

    def cut(self, process: "Process", density: "PiecewiseDensity", num_clusters: int) -> np.ndarray:
        return np.arange(1, num_clusters) / num_clusters


@dataclass(frozen=True, kw_only=True)
class QuantilePartition(Partition):
    """Equal mass under the base density: ordinary training draws each cluster equally often."""

    kind: Literal["quantile"] = "quantile"

    def cut(self, process: "Process", density: "PiecewiseDensity", num_clusters: int) -> np.ndarray:
        return density.icdf(np.arange(1, num_clusters) / num_clusters)


@dataclass(frozen=True, kw_only=True)
class LogSnrPartition(Partition):
    """Clusters of like log-SNR, Kim et al.'s SNR-based intervals: one-dimensional k-medians, solved exactly.

    The edges minimise the sum, over clusters and over the levels t inside each, of |r_t - median of the cluster|, where
    r_t is the log-SNR of level t.  (Of the SNR itself, the easiest cluster would be most of the timesteps.)  Continuous
    processes are cut on a grid of 1,000 equal widths of q.

    Attributes:
        min_cluster_share: smallest allowed width of a cluster in q, its share of the levels.
        max_cluster_share: largest allowed width of a cluster in q.
    """

    kind: Literal["log_snr"] = "log_snr"
    min_cluster_share: float = 0.0
    max_cluster_share: float = 1.0

    def __post_init__(self) -> None:
        require(0 <= self.min_cluster_share < 1, "min_cluster_share", "in [0, 1)", self.min_cluster_share)
        require(0 < self.max_cluster_share <= 1, "max_cluster_share", "in (0, 1]", self.max_cluster_share)
        if self.min_cluster_share > self.max_cluster_share:
            raise ValueError(
                f"min_cluster_share must be at most max_cluster_share ({self.max_cluster_share}), "
                f"not {self.min_cluster_share}"
            )

    def cut(self, process: "Process", density: "PiecewiseDensity", num_clusters: int) -> np.ndarray:
        num_points = process.num_levels or max(_GRID_POINTS, num_clusters)
        log_snr = process.log_snr((np.arange(num_points) + 0.5) / num_points)
        min_size = max(1, math.ceil(self.min_cluster_share * num_points - 1e-9))
        max_size = math.floor(self.max_cluster_share * num_points + 1e-9)
        if not num_clusters * min_size <= num_points <= num_clusters * max_size:
            raise ValueError(
                f"{num_clusters} clusters cannot cover {num_points} levels with min_cluster_share "
                f"{self.min_cluster_share} ({min_size} levels) and max_cluster_share {self.max_cluster_share} "
                f"({max_size} levels): 1 / num_clusters must lie between the two"
            )
        return k_medians(log_snr, num_clusters, min_size, max_size)[1:-1] / num_points


@dataclass(frozen=True, kw_only=True)
class MeasuredPartition(Partition):
    """Equal shares of the measured difficulty: where levels are hard to learn, clusters are narrow.

    Cumulated over q from the clean end, the difficulty of a difficulty.json file passes k / N of its total at edge k.

    Attributes:
        path: the difficulty.json file that jobs/difficulty.py wrote.
        curve: which of its two curves: ``convergence`` (loss left after training on an interval alone) or ``entropy``
            (square root of the relative entropy between neighbouring marginals).
    """

    kind: Literal["measured"] = "measured"
    path: str
    curve: CurveName = "convergence"

    def cut(self, process: "Process", density: "PiecewiseDensity", num_clusters: int) -> np.ndarray:
        return DifficultyFile.load(self.path).curve(self.curve).split_equally(num_clusters)

    def check(self, process: "Process") -> None:
        check_process(self.path, self.curve, process.to_dict())


@dataclass(frozen=True, kw_only=True)
class GivenPartition(Partition):
    """Clusters cut where one says: by hand, or where another curriculum has them.

    Attributes:
        all_edges: one more than there are clusters, strictly increasing from 0 to 1.
    """

    kind: Literal["given"] = "given"
    all_edges: tuple[float, ...]

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in itertools.pairwise(self.all_edges))
        spans = len(self.all_edges) >= 2 and self.all_edges[0] == 0 and self.all_edges[-1] == 1
        require(rising and spans, "all_edges", "strictly increasing from 0 to 1", list(self.all_edges))

    def cut(self, process: "Process", density: "PiecewiseDensity", num_clusters: int) -> np.ndarray:
        clusters = len(self.all_edges) - 1
        if num_clusters != clusters:
            raise ValueError(f"num_clusters must be {clusters}, as partition.all_edges has them, not {num_clusters}")
        return np.array(self.all_edges[1:-1])


def k_medians(values: np.ndarray, num_clusters: int, min_size: int = 1, max_size: int | None = None) -> np.ndarray:
    """The best split of a monotone sequence into runs, by the sum of absolute deviations from each run's median.

    Exact, by dynamic programming: the best split of the first ``end`` values into k runs is, for the best
    ``start``, that of the first ``start`` values into k - 1 runs and one more run.  Time O(n^2 k), one vector
    operation per end.

    Args:
        values: [n], monotone.
        num_clusters: runs, each of ``min_size`` to ``max_size`` values.

    Returns:
        int64 [num_clusters + 1]: 0, the end of each run, the last of which is n.
    """
    n = len(values)
    total = np.concatenate([[0.0], np.cumsum(np.sort(values) if values[0] <= values[-1] else -values)])
    best = np.full((num_clusters + 1, n + 1), np.inf)
    best[0, 0] = 0.0
    best_start = np.zeros((num_clusters + 1, n + 1), dtype=np.int64)
    for end in range(min_size, n + 1):
        first = max(0, end - (max_size or n))
        start = np.arange(first, end - min_size + 1)
        half = (end - start) // 2
        # Of a sorted run, what lies above the median minus what lies below it; the median itself cancels.
        deviation = (total[end] - total[end - half]) - (total[start + half] - total[start])
        candidates = best[:-1, first : end - min_size + 1] + deviation
        choice = np.argmin(candidates, axis=1)
        best[1:, end] = candidates[np.arange(num_clusters), choice]
        best_start[1:, end] = start[choice]
    ends = [n]
    for k in range(num_clusters, 0, -1):
        ends.append(int(best_start[k, ends[-1]]))
    return np.array(ends[::-1])


def _between_levels(edges: np.ndarray, num_levels: int) -> np.ndarray:
    """Move edges to the nearest border between two of the levels, leaving each cluster at least one level."""
    k = np.arange(len(edges))
    borders = np.rint(edges * num_levels).astype(np.int64)
    borders = np.maximum.accumulate(borders - k) + k
    borders = np.minimum(borders, num_levels - k[::-1])
    return np.asarray(borders / num_levels)
