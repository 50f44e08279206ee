"""Searches replayed on recorded learning curves: a new search rule is tried in seconds, without training.

A table holds the curves of many configurations.  A replayed search proposes configurations of the table, "trains" them
on simulated parallel workers, reports what was recorded, and stops them as its rule says::

    table = Table.read(Path("benchmarks/curves.csv.gz"))
    trace = replay(table, RandomSearch(table), SuccessiveHalving(), workers=4, rng=np.random.default_rng(0))
    trace.images_to_find(share=0.02), trace.discarded_best
"""

import csv
import gzip
import heapq
import io
import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from curriculum_search.search.stopping import Stopping

_FIXED = ("config", "seed", "total_images", "images", "value", "unlocked_share")


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A recorded learning curve.

    Attributes:
        params: the configuration: dotted path to value, active parameters only.
        seed: of the run.
        total_images: of the run.
        images, values, unlocked: of each evaluation: images seen, the objective (less is better), the share of the
            noise levels in training.  The last of a run that diverged is infinite.
    """

    params: Mapping[str, Any]
    seed: int
    total_images: int
    images: tuple[int, ...]
    values: tuple[float, ...]
    unlocked: tuple[float, ...]

    @property
    def final(self) -> float:
        """The value at the end; infinite for a run that diverged."""
        return self.values[-1] if self.images[-1] == self.total_images else math.inf


@dataclass(frozen=True)
class Table:
    """Recorded runs of many configurations of one space, in full and perhaps shorter."""

    runs: tuple[RecordedRun, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a table that `write` wrote (gzipped CSV, one row per evaluation)."""
        rows: dict[tuple[str, str, str], list[dict[str, str]]] = {}
        with gzip.open(path, "rt", newline="") as file:
            for row in csv.DictReader(file):
                rows.setdefault((row["config"], row["seed"], row["total_images"]), []).append(row)
        return cls(
            tuple(
                RecordedRun(
                    params={k: _parsed(v) for k, v in points[0].items() if k not in _FIXED and v},
                    seed=int(seed),
                    total_images=int(total_images),
                    images=tuple(int(point["images"]) for point in points),
                    values=tuple(float(point["value"]) for point in points),
                    unlocked=tuple(float(point["unlocked_share"]) for point in points),
                )
                for (_, seed, total_images), points in rows.items()
            )
        )

    def write(self, path: Path) -> None:
        """Write the table; equal tables give equal files."""
        paths = sorted({path for run in self.runs for path in run.params})
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=[*_FIXED, *paths], lineterminator="\n")
        writer.writeheader()
        for run in self.runs:
            for images, value, unlocked in zip(run.images, run.values, run.unlocked, strict=True):
                fixed = (
                    self.configs.index(run.params),
                    run.seed,
                    run.total_images,
                    images,
                    f"{value:.6g}",
                    f"{unlocked:.4g}",
                )
                params = {path: _cell(value) for path, value in run.params.items()}
                writer.writerow(dict(zip(_FIXED, fixed, strict=True)) | params)
        path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))

    @cached_property
    def configs(self) -> list[Mapping[str, Any]]:
        """The configurations, in the order in which they first appear."""
        found: list[Mapping[str, Any]] = []
        for run in self.runs:
            if run.params not in found:
                found.append(run.params)
        return found

    @cached_property
    def total_images(self) -> int:
        """Images of a run in full."""
        return max(run.total_images for run in self.runs)

    @cached_property
    def by_config(self) -> list[dict[int, list[RecordedRun]]]:
        """Of each configuration, its runs by their total images."""
        found: list[dict[int, list[RecordedRun]]] = [{} for _ in self.configs]
        for run in self.runs:
            found[self.configs.index(run.params)].setdefault(run.total_images, []).append(run)
        return found

    @cached_property
    def truth(self) -> NDArray[np.float64]:
        """Of each configuration, the mean over its seeds of the value at the end of a full run."""
        return np.array([np.mean([run.final for run in runs[self.total_images]]) for runs in self.by_config])

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of its runs."""
        return sorted({run.seed for run in self.runs})

    def of_seeds(self, seeds: Sequence[int]) -> "Table":
        """The runs on some of the seeds."""
        return Table(tuple(run for run in self.runs if run.seed in seeds))


def _cell(value: Any) -> str:
    """Words as they are, all else as JSON."""
    plain = isinstance(value, str) and _parsed(value) == value
    return value if plain else json.dumps(value)


def _parsed(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        return cell


class Proposer(Protocol):
    """What to try next: configurations of a table by their number."""

    def propose(self, rng: np.random.Generator) -> int | None:
        """A configuration that has not been proposed; None when there is none left."""

    def tell(self, config: int, value: float | None) -> None:
        """How it ended: the value at the end of a full run, or None if it was given up before."""


class RandomSearch:
    """Random search without repetition."""

    def __init__(self, table: Table) -> None:
        self._left = list(range(len(table.configs)))

    def propose(self, rng: np.random.Generator) -> int | None:
        return self._left.pop(int(rng.integers(len(self._left)))) if self._left else None

    def tell(self, config: int, value: float | None) -> None:
        """Nothing is learned."""


@dataclass
class Trace:
    """How a replayed search went.

    Attributes:
        table: what it was replayed on.
        found: at each full run that ended as the best so far: images spent by then by all workers together, and the
            configuration.
        spent: images in all.
        stopped: the configurations that were given up.
        complete: the configurations that were trained in full.
    """

    table: Table
    found: list[tuple[int, int]] = field(default_factory=list)
    spent: int = 0
    stopped: list[int] = field(default_factory=list)
    complete: list[int] = field(default_factory=list)

    def images_to_find(self, share: float) -> float:
        """Images spent until the best so far was truly within `share` of the table's best; infinite if it never was."""
        limit = self.table.truth.min() * (1 + share)
        good = [spent for spent, config in self.found if self.table.truth[config] <= limit]
        return good[0] if good else math.inf

    def pick(self, images: float = math.inf) -> int | None:
        """The configuration that is best so far after `images` images."""
        chosen = [config for spent, config in self.found if spent <= images]
        return chosen[-1] if chosen else None

    def regret(self, images: float = math.inf) -> float:
        """How far the best so far after `images` images truly is from the table's best, as a share of it."""
        pick = self.pick(images)
        return math.inf if pick is None else float(self.table.truth[pick] / self.table.truth.min() - 1)

    @property
    def discarded_best(self) -> bool:
        """Whether the truly best configuration was tried and given up."""
        return int(self.table.truth.argmin()) in self.stopped


def replay(
    table: Table,
    proposer: Proposer,
    stopping: Stopping,
    *,
    workers: int,
    rng: np.random.Generator,
    first_short: float | None = None,
) -> Trace:
    """RecordedRun a search on the table until it is exhausted.

    All workers train equally fast.  A configuration with several recorded seeds is trained on one of them, by chance.

    Args:
        table: the recorded runs.
        proposer: what to try.
        stopping: when to give up.
        workers: trials at once.
        rng: of the proposer and of the seeds.
        first_short: try each configuration in a complete short run first, and in full only if it is among this share of
            the short runs that have ended; None: in full at once.
    """
    trace = Trace(table)
    stopper = stopping.build(table.total_images)
    shorts: list[float] = []
    best = math.inf
    # Events: time at which a worker reports, a counter that keeps their order, the trial, and its point.
    events: list[tuple[int, int, int, RecordedRun, int]] = []
    counter = 0

    def start(config: int, now: int, *, short: bool) -> None:
        nonlocal counter
        lengths = table.by_config[config]
        runs = lengths[min(lengths) if short else table.total_images]
        run = runs[int(rng.integers(len(runs)))]
        counter += 1
        heapq.heappush(events, (now + run.images[0], counter, config, run, 0))

    def start_next(now: int) -> None:
        config = proposer.propose(rng)
        if config is not None:
            start(config, now, short=first_short is not None)

    for _ in range(workers):
        start_next(0)
    while events:
        now, order, config, run, point = heapq.heappop(events)
        trace.spent += run.images[point] - (run.images[point - 1] if point else 0)
        ended = point == len(run.images) - 1
        if run.total_images < table.total_images:
            if not ended:
                heapq.heappush(events, (now + run.images[point + 1] - run.images[point], order, config, run, point + 1))
                continue
            shorts.append(run.final)
            if sorted(shorts).index(run.final) < math.ceil((first_short or 0) * len(shorts)):
                start(config, now, short=False)
                continue
            trace.stopped.append(config)
            proposer.tell(config, None)
        else:
            trial: Hashable = config
            decision = stopper.decide(trial, run.images[point], run.values[point], run.unlocked[point])
            if not ended and decision == "continue":
                heapq.heappush(events, (now + run.images[point + 1] - run.images[point], order, config, run, point + 1))
                continue
            if ended:
                trace.complete.append(config)
                proposer.tell(config, run.final)
                if run.final < best:
                    best = run.final
                    trace.found.append((trace.spent, config))
            else:
                trace.stopped.append(config)
                proposer.tell(config, None)
        start_next(now)
    return trace
