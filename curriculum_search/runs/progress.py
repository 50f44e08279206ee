"""How the runs of a command go: a line for every event, and where they stand, on a terminal as a table that changes in
place, in a log as a line a minute."""

import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from curriculum_search.direction import Direction
from curriculum_search.duration import duration
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.job import Status
from curriculum_search.runs.record import LiveRun
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.screen import screen

_LISTED = 8  # runs under way that have a line of their own on the terminal
_NAMED = 4  # and a name in a log
_NARROW = 60  # characters, below which bars and what can be left out are


Preparing = tuple[int, int, str] | None
"""How many of what a run reads are prepared by now, of how many, and what they are; see `Experiment.preparing`."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How what is compared stands by now, for the terminal.

    Attributes:
        columns: head to cells, all of one length; the first holds names, the last what a narrow terminal needs most.
        meaning: what the numbers are.
    """

    columns: Mapping[str, Sequence[str]]
    meaning: str


class Progress:
    """Counts the runs of one phase and says how it goes.

    Args:
        phase: its name, as in "search".
        live: the runs under way, by key, as their store has them.
        objective: the metric that is shown.
        direction: whether less or more of it is better, to show the best run so far; None: not to show it.
        preparing: says how far what the runs read is prepared.
        interval_seconds: between two lines of the counts in a log.
    """

    def __init__(
        self,
        phase: str,
        live: Mapping[str, LiveRun],
        *,
        objective: str,
        direction: Direction | None,
        preparing: Callable[[], Preparing] = lambda: None,
        interval_seconds: float = 60.0,
    ) -> None:
        self.phase = phase
        self.live = live
        self.total = 0  #: runs that the phase is expected to have; the phase keeps it up to date
        self.concurrency = 1
        self.capacity: Capacity | None = None  #: what the cluster has room for now
        self.objective = objective
        self.direction = direction
        self.preparing = preparing
        self.interval_seconds = interval_seconds
        self.best: tuple[float, str] | None = None
        self.counts: Counter[Status] = Counter()
        self.standing: Standing | None = None  #: the phase keeps it up to date
        self._seconds: list[float] = []
        self._shown = time.monotonic()
        self._draw: Callable[[], None] | None = None

    @contextmanager
    def under_way(self, concurrency: int) -> Iterator[None]:
        """The phase is under way, with so many runs at once."""
        self.concurrency = concurrency
        self.say(f"{self.total} runs, {concurrency} at a time")
        with screen(self.panel) as self._draw:
            try:
                yield
            finally:
                self._draw = None

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
        """Bring the terminal up to date; in a log, print the counts if the last time is long enough ago."""
        if self._draw is not None:
            self._draw()
            return
        now = time.monotonic()
        if now - self._shown < self.interval_seconds:
            return
        self._shown = now
        self.say(", ".join(self._parts(named=_NAMED)))

    def panel(self, width: int) -> RenderableType:
        """Where the phase is, for a terminal: the counts, the runs under way, and how what is compared stands."""
        head = Text.assemble((self.phase, "bold"), ": ", ", ".join(self._parts(named=0)))
        parts: list[RenderableType] = [head]
        if self.best:
            parts.append(_name(f"  best so far {self.best[0]:.4g}: {self.best[1]}"))
        if (preparing := self.preparing()) is not None:
            parts.append(_preparing_row(preparing, narrow=width < _NARROW))
        if self.live:
            parts.append(self._running(narrow=width < _NARROW))
        if self.standing is not None:
            parts += [_table(self.standing, narrow=width < _NARROW), Text(self.standing.meaning, style="dim")]
        return Group(*parts)

    def _running(self, *, narrow: bool) -> Table:
        table = Table.grid(padding=(0, 1))
        runs = list(self.live.values())
        for run in runs[:_LISTED]:
            cells: list[RenderableType] = [_name(f"  {run.name}"), f"{100 * run.share:3.0f} %"]
            table.add_row(*cells, *([] if narrow else [ProgressBar(total=1.0, completed=run.share, width=20)]))
        if len(runs) > _LISTED:
            table.add_row(f"  and {len(runs) - _LISTED} more")
        return table

    def _parts(self, *, named: int) -> list[str]:
        """The counts and the time left; of the runs under way the names of so many, and with names the best."""
        done = sum(self.counts.values())
        parts = [f"{done} of {self.total} runs done"]
        parts += [f"{self.counts[s]} {s.value}" for s in Status if s is not Status.FINISHED and self.counts[s]]
        running = [f"{run.name} {100 * run.share:.0f}%" for run in self.live.values()]
        waiting = max(len(running) - self.capacity.trials, 0) if self.capacity else 0
        names = f" ({', '.join(running[:named])})" if running[:named] else ""
        parts.append(f"{len(running) - waiting} running{names}")
        if waiting and self.capacity:
            wanted = self.capacity.workers * len(running)
            room = f"{self.capacity.slots}{f' of {wanted}' if wanted > self.capacity.slots else ''} workers"
            parts.append(f"{waiting} waiting: the cluster has room for {room}")
        if named and (preparing := self.preparing()) is not None:
            parts.append(_words(preparing))
        if self.best and named:
            parts.append(f"best {self.best[0]:.4g} ({self.best[1]})")
        if (left := self.seconds_left()) is not None:
            parts.append(f"about {duration(round(left))} left")
        return parts

    def seconds_left(self) -> float | None:
        """The expected time to the end of the phase, from the runs that have ended; None before the first."""
        if not self._seconds:
            return None
        typical = statistics.fmean(self._seconds)
        waiting = max(self.total - sum(self.counts.values()) - len(self.live), 0)
        begun = sum(1 - run.share for run in self.live.values())
        return typical * (waiting + begun) / self.concurrency


def _table(standing: Standing, *, narrow: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    heads = list(standing.columns)
    heads = [heads[0], heads[-1]] if narrow else heads
    for head in heads:
        first = head == heads[0]
        table.add_column(f"  {head}" if first else head, justify="left" if first else "right", no_wrap=not first)
    for first, *rest in zip(*(standing.columns[head] for head in heads), strict=True):
        table.add_row(_name(f"  {first}"), *rest)
    return table


@contextmanager
def telling(name: str, preparing: Callable[[], Preparing], *, interval_seconds: float = 15.0) -> Iterator[None]:
    """While the block runs, print now and then how far what a run reads is prepared, where that has changed.

    Args:
        name: that the lines begin with.
        preparing: see `Progress`; it is asked in a thread.
        interval_seconds: between two lines.
    """
    ended = threading.Event()

    def tell() -> None:
        told = None
        while not ended.wait(interval_seconds):
            if (found := preparing()) is not None and found != told:
                print(f"{name}: {_words(found)}", flush=True)
                told = found

    thread = threading.Thread(target=tell, name="telling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _words(preparing: tuple[int, int, str]) -> str:
    done, total, what = preparing
    return f"{done:,} of {total:,} {what}"


def _preparing_row(preparing: tuple[int, int, str], *, narrow: bool) -> RenderableType:
    table, (done, total, _) = Table.grid(padding=(0, 1)), preparing
    bar = [] if narrow else [ProgressBar(total=total, completed=done, width=20)]
    table.add_row(_name(f"  {_words(preparing)}"), *bar)
    return table


def _name(text: str) -> Text:
    """A name, which is cut where there is no room for it."""
    return Text(text, no_wrap=True, overflow="ellipsis")
