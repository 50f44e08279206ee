"""How the runs of a command go, on the terminal: a line when one ends, and every so often one with the counts, the best
and the time left."""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping

from curriculum_search.direction import Direction
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.job import Status
from curriculum_search.runs.record import LiveRun
from curriculum_search.runs.result import RunResult


class Progress:
    """Counts the runs of one phase and says how it goes.  Plain lines, so that a job's log reads like the terminal.

    Args:
        phase: its name, as in "search".
        live: the runs under way, by key, as their store has them.
        objective: the metric that is shown.
        direction: whether less or more of it is better, to show the best run so far; None: not to show it.
        interval_seconds: between two lines of the counts.
    """

    def __init__(
        self,
        phase: str,
        live: Mapping[str, LiveRun],
        *,
        objective: str,
        direction: Direction | None,
        interval_seconds: float = 15.0,
    ) -> None:
        self.phase = phase
        self.live = live
        self.total = 0  #: runs that the phase is expected to have; the phase keeps it up to date
        self.concurrency = 1
        self.capacity: Capacity | None = None  #: what the cluster has room for now
        self.objective = objective
        self.direction = direction
        self.interval_seconds = interval_seconds
        self.best: tuple[float, str] | None = None
        self.counts: Counter[Status] = Counter()
        self._seconds: list[float] = []
        self._shown = time.monotonic()

    def begin(self, concurrency: int) -> None:
        """The phase begins, with so many runs at once."""
        self.concurrency = concurrency
        self.say(f"{self.total} runs, {concurrency} at a time")

    def say(self, line: str) -> None:
        """Print a line under the phase's name."""
        print(f"{self.phase}: {line}", file=sys.stdout, flush=True)

    def ended(self, name: str, result: RunResult) -> None:
        """A run has ended."""
        self.counts[result.status] += 1
        self._seconds.append(result.seconds)
        value = result.metrics.get(self.objective)
        line = f"{name} {result.status.value} at {result.images:,} images, {result.seconds:.0f} s"
        if value is not None:
            line += f", {self.objective} {value:.4g}"
        if result.status is Status.FINISHED and value is not None and self._is_best(value):
            self.best = (value, name)
            line += " (best so far)"
        if result.reason:
            line += f": {result.reason}"
        self.say(line)

    @property
    def failures(self) -> int:
        """Runs that may come to another end when they are tried again."""
        return sum(count for status, count in self.counts.items() if status.is_failure)

    def _is_best(self, value: float) -> bool:
        if self.direction is None:
            return False
        return self.best is None or self.direction.sign * (value - self.best[0]) > 0

    def show(self) -> None:
        """Print the counts, if the last time is long enough ago."""
        now = time.monotonic()
        if now - self._shown < self.interval_seconds:
            return
        self._shown = now
        done = sum(self.counts.values())
        parts = [f"{done} of {self.total} runs done"]
        parts += [f"{self.counts[s]} {s.value}" for s in Status if s is not Status.FINISHED and self.counts[s]]
        running = [f"{run.name} {100 * run.share:.0f}%" for run in self.live.values()]
        waiting = max(len(running) - self.capacity.trials, 0) if self.capacity else 0
        named = f" ({', '.join(running[:4])})" if running else ""
        parts.append(f"{len(running) - waiting} running{named}")
        if waiting and self.capacity:
            workers = f"{self.capacity.slots} of {self.capacity.workers * len(running)} workers"
            parts.append(f"{waiting} waiting: the cluster has room for {workers}")
        if self.best:
            parts.append(f"best {self.best[0]:.4g} ({self.best[1]})")
        if (left := self.seconds_left()) is not None:
            parts.append(f"about {_duration(left)} left")
        self.say(", ".join(parts))

    def seconds_left(self) -> float | None:
        """The expected time to the end of the phase, from the runs that have ended; None before the first."""
        if not self._seconds:
            return None
        typical = statistics.fmean(self._seconds)
        waiting = max(self.total - sum(self.counts.values()) - len(self.live), 0)
        begun = sum(1 - run.share for run in self.live.values())
        return typical * (waiting + begun) / self.concurrency


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
