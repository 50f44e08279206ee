"""Tree-structured Parzen estimator on recorded configurations: what stands in for Optuna's in replayed searches.

A replayed search can only try what was recorded, and is repeated hundreds of times; Optuna's sampler proposes what was
not, and takes more than ten times as long.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curriculum_search.search.replay import Table


class TableTPE:
    """Tree-structured Parzen estimator over the configurations of a table.

    As Optuna's: 10 random trials, then the best tenth is good, and all else bad, running and stopped trials included
    (constant liar); of 24 draws from the good trials' density the one with the highest ratio to the bad ones' is tried.
    The kernel of two configurations is a product over the parameters that both have, so conditions need no groups.
    """

    def __init__(self, table: Table, *, num_startup: int = 10, num_candidates: int = 24) -> None:
        self._kernel = _LogKernel(table.configs)
        self._num_startup, self._num_candidates = num_startup, num_candidates
        self._left = np.ones(len(table.configs), dtype=bool)
        self._bad: set[int] = set()
        self._complete: dict[int, float] = {}
        self._ended = 0

    def propose(self, rng: np.random.Generator) -> int | None:
        """A configuration that has not been proposed; None when there is none left."""
        left = np.flatnonzero(self._left)
        if not left.size:
            return None
        choice = int(rng.choice(left)) if self._ended < self._num_startup else self._promising(left, rng)
        self._left[choice] = False
        self._bad.add(choice)
        return choice

    def tell(self, config: int, value: float | None) -> None:
        """How it ended: the value at the end of a full run, or None if it was given up before."""
        self._ended += 1
        if value is not None and math.isfinite(value):
            self._bad.discard(config)
            self._complete[config] = value

    def _promising(self, left: NDArray[np.int64], rng: np.random.Generator) -> int:
        ranked = sorted(self._complete, key=self._complete.__getitem__)
        num_good = min(math.ceil(0.1 * self._ended), 25, len(ranked))
        good, bad = ranked[:num_good], [*ranked[num_good:], *self._bad]
        likely = self._kernel.log_density(left, good)
        draws = rng.choice(len(left), size=self._num_candidates, p=np.exp(likely) / np.exp(likely).sum())
        ratios = likely[draws] - self._kernel.log_density(left[draws], bad)
        return int(left[draws[np.argmax(ratios)]])


class _LogKernel:
    """Densities over the configurations of a table as mixtures of kernels at some of them, and of a uniform one."""

    def __init__(self, configs: Sequence[Mapping[str, Any]]) -> None:
        self._distances: list[NDArray[np.float64]] = []
        self._differs: list[tuple[NDArray[np.bool_], int]] = []
        for path in sorted({path for config in configs for path in config}):
            values = [config.get(path) for config in configs]
            active = np.array([path in config for config in configs])
            both = active[:, None] & active[None, :]
            numbers = [value for value in values if value is not None]
            if all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
                column = np.array([math.nan if value is None else float(value) for value in values])
                if np.nanmin(column) > 0 and np.nanmax(column) / np.nanmin(column) >= 10:
                    column = np.log(column)
                column = (column - np.nanmin(column)) / max(np.nanmax(column) - np.nanmin(column), 1e-12)
                self._distances.append(np.where(both, np.nan_to_num(column[:, None] - column[None, :]), 0.0))
            else:
                labels = [json.dumps(value) for value in values]
                differs = np.array([[a != b for b in labels] for a in labels])
                self._differs.append((differs & both, len(set(labels))))
        self._dimensions = len(self._distances) + len(self._differs)

    def log_density(self, at: NDArray[np.int64], centres: Sequence[int]) -> NDArray[np.float64]:
        """Log density at the configurations `at`, up to a constant, of the mixture around those in `centres`."""
        n = len(centres)
        if not n:
            return np.zeros(len(at))
        grid = np.ix_(at, np.asarray(centres))
        width = 0.2 * n ** (-1 / (self._dimensions + 4))
        logs = np.zeros((len(at), n))
        for distances in self._distances:
            logs += -0.5 * (distances[grid] / width) ** 2 - math.log(width * math.sqrt(2 * math.pi))
        for differs, choices in self._differs:
            weight = np.where(differs[grid], 1 / choices, 1 / choices + 1.0 * n) / (1.0 + n)
            logs += np.log(weight * choices)
        density: NDArray[np.float64] = np.log((np.exp(logs).sum(axis=1) + 1.0) / (n + 1))
        return density
