"""Where a study is, on the terminal: a line when a run ends, and every so often one with the counts, the best and
the time left."""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable

from curriculum_search.search.execution.jobs import Status


class Progress:
    """Counts the runs of one phase and says how it goes.  Plain lines, so that a job's log reads like the terminal.

    Args:
        phase: its name, as in "search".
        total_images: images of a full run.
        objective: the metric that is shown.
        better: min or max, to show the best run so far; None: not to show it.
        interval_seconds: between two lines of the counts.
    """

    def __init__(
        self,
        phase: str,
        *,
        total_images: int,
        objective: str,
        better: Callable[[float, float], float] | None,
        interval_seconds: float = 15.0,
    ) -> None:
        self.phase = phase
        self.total = 0  #: runs that the phase is expected to have; the phase keeps it up to date
        self.total_images = total_images
        self.concurrency = 1
        self.objective = objective
        self.better = better
        self.interval_seconds = interval_seconds
        self.best: tuple[float, str] | None = None
        self.counts: Counter[Status] = Counter()
        self._names: dict[str, str] = {}
        self._images: dict[str, int] = {}
        self._started: dict[str, float] = {}
        self._seconds: list[float] = []
        self._shown = time.monotonic()

    def begin(self, concurrency: int) -> None:
        """The phase begins, with so many runs at once."""
        self.concurrency = concurrency
        _print(f"{self.phase}: {self.total} runs, {concurrency} at a time")

    def started(self, key: str, name: str) -> None:
        """A run has been handed out."""
        self._names[key], self._images[key], self._started[key] = name, 0, time.monotonic()

    def reported(self, key: str, images: int) -> None:
        """A run has come to `images` images seen."""
        self._images[key] = images

    def ended(self, key: str, status: Status, value: float | None, reason: str) -> None:
        """A run has ended."""
        name = self._names.pop(key, key)
        images = self._images.pop(key, 0)
        seconds = time.monotonic() - self._started.pop(key, time.monotonic())
        self.counts[status] += 1
        self._seconds.append(seconds)
        line = f"{self.phase}: {name} {status.value} at {images:,} images, {seconds:.0f} s"
        if value is not None:
            line += f", {self.objective} {value:.4g}"
        if status is Status.FINISHED and value is not None and self._is_best(value):
            self.best = (value, name)
            line += " (best so far)"
        if reason:
            line += f": {reason}"
        _print(line)

    def _is_best(self, value: float) -> bool:
        if self.better is None:
            return False
        return self.best is None or self.better(value, self.best[0]) == value != self.best[0]

    def show(self, *, force: bool = False) -> None:
        """Print the counts, if the last time is long enough ago."""
        now = time.monotonic()
        if not force and now - self._shown < self.interval_seconds:
            return
        self._shown = now
        done = sum(self.counts.values())
        parts = [f"{done} of {self.total} runs done"]
        parts += [f"{self.counts[s]} {s.value}" for s in Status if s is not Status.FINISHED and self.counts[s]]
        running = [f"{name} {100 * self._images[key] / self.total_images:.0f}%" for key, name in self._names.items()]
        parts.append(f"{len(running)} running" + (f" ({', '.join(running[:4])})" if running else ""))
        if self.best:
            parts.append(f"best {self.best[0]:.4g} ({self.best[1]})")
        if (left := self.seconds_left()) is not None:
            parts.append(f"about {_duration(left)} left")
        _print(f"{self.phase}: " + ", ".join(parts))

    def seconds_left(self) -> float | None:
        """The expected time to the end of the phase, from the runs that have ended; None before the first."""
        if not self._seconds:
            return None
        typical = statistics.fmean(self._seconds)
        waiting = max(self.total - sum(self.counts.values()) - len(self._names), 0)
        begun = sum(1 - images / self.total_images for key, images in self._images.items())
        return typical * (waiting + begun) / self.concurrency


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _print(line: str) -> None:
    print(line, file=sys.stdout, flush=True)
