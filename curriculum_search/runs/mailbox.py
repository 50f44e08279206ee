"""What a group of workers and those who give it jobs leave for each other: jobs, what a run says, and how it ended.

One mailbox belongs to one group.  Each method is called by another process and may wait; all run in one thread, one at
a time.  It imports neither Ray nor torch, so it knows nothing of processes: who is gone is told to it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

REPORT = "report"
STATUS = "status"
DIVERGED = "diverged"
WARNINGS = "warnings"  #: with either: what this package has warned of since the last, as that a cache was rebuilt
REMARKS = "remarks"  #: what has befallen the run, as that it fell back to an older checkpoint; alone
GOES_ON = "goes on"  #: an evaluation does; alone

#: Seconds after a worker has failed, or been stopped, in which the others have to leave the job as well.  What they are
#: in the middle of, such as a collective with the one that failed, may never end.
SETTLE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class End:
    """How a job ended in a worker, or in all.

    Attributes:
        error: what it raised; None: nothing.
        diverged: in words, where a loss, weight or image was not finite.
        knows_why: whether it is the cause, as far as it knows; a worker that others have asked to stop does not.
    """

    error: BaseException | None = None
    diverged: str = ""
    knows_why: bool = True


@dataclass
class _Case:
    """One job."""

    fields: Mapping[str, Any]
    said: list[Mapping[str, Any]] = field(default_factory=list)
    taken: int = 0  # of what was said
    added: Counter[tuple[str, int]] = field(default_factory=Counter)  # how often each worker has said what for itself
    is_stopped: bool = False
    failures: list[End] = field(default_factory=list)
    is_taken: bool = False  # by a worker
    settled: set[int] = field(default_factory=set)
    is_given_up: bool = False  # for not all workers came


class Mailbox:
    """Hands jobs, numbered from 1, to the workers of a group, one after the other.

    Args:
        size: workers of the group.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._cases: dict[int, _Case] = {}
        self._changed = asyncio.Condition()
        self._broke: BaseException | None = None
        self._addresses: dict[int, tuple[str, int]] = {}
        self._timers: set[asyncio.Task[None]] = set()

    # Whoever gives out jobs.

    async def put(self, number: int, fields: Mapping[str, Any]) -> None:
        """Have the workers do a job, after those before."""
        self._cases.pop(number - 2, None)
        self._cases[number] = _Case(fields)
        await self._tell()

    async def hear(self, number: int, taken: int) -> Mapping[str, Any] | End:
        """What a job says next, or how it ended; waits for it.

        Args:
            number: of the job.
            taken: messages that have been heard and handed on; the worker that said the last of them goes on.
        """
        case = self._cases[number]
        case.taken = taken
        await self._tell()
        await self._until(lambda: len(case.said) > taken or self._is_over(case))
        return case.said[taken] if len(case.said) > taken else self._end(case)

    async def stop(self, number: int) -> None:
        """Have the workers leave a job when they next say something."""
        case = self._cases[number]
        case.is_stopped = True
        self._expect_all(case)
        await self._tell()

    async def usable(self) -> bool:
        """Whether another job can be put."""
        return self._broke is None and not any(case.is_given_up for case in self._cases.values())

    async def begun(self, number: int) -> bool:
        """Whether a worker has taken a job."""
        return self._cases[number].is_taken

    # The workers.

    async def take(self, number: int) -> Mapping[str, Any]:
        """The job of a number, when it is there."""
        await self._until(lambda: number in self._cases)
        self._cases[number].is_taken = True
        return self._cases[number].fields

    async def say(self, number: int, message: Mapping[str, Any]) -> bool:
        """Take what a job says; when it has been handed on, whether the workers are to leave the job."""
        case = self._cases[number]
        case.said.append(message)
        place = len(case.said)
        await self._tell()
        await self._until(lambda: case.taken >= place or case.is_stopped or bool(case.failures))
        return case.is_stopped or bool(case.failures)

    async def add(self, number: int, rank: int, message: Mapping[str, Any]) -> None:
        """Take what one worker says for itself, without waiting until it has been handed on.

        What befalls all of them is handed on once, and what comes of a job that is forgotten, never.
        """
        if (case := self._cases.get(number)) is None:
            return
        text = str(message)
        most = max((case.added[text, other] for other in range(self._size)), default=0)
        case.added[text, rank] += 1
        if case.added[text, rank] > most:
            case.said.append(message)
            await self._tell()

    async def fail(self, number: int, end: End) -> None:
        """Take that a worker has not come to the end of a job."""
        case = self._cases[number]
        case.failures.append(end)
        self._expect_all(case)
        await self._tell()

    async def settle(self, number: int, rank: int) -> bool:
        """Take that a worker has left a job, wait for the others, and say whether any of them failed."""
        case = self._cases[number]
        case.settled.add(rank)
        await self._tell()
        await self._until(lambda: len(case.settled) == self._size)
        return bool(case.failures)

    async def meet(self, number: int, address: tuple[str, int] | None) -> tuple[str, int]:
        """Where the workers meet after a job to talk to each other anew, which one of them says."""
        if address is not None:
            self._addresses[number] = address
            await self._tell()
        await self._until(lambda: number in self._addresses)
        return self._addresses[number]

    # Whoever sees the group's processes.

    async def broke(self, error: BaseException) -> None:
        """Take that the group is gone."""
        self._broke = error
        await self._tell()

    def gave_up(self) -> None:
        """Called when workers have not left a job in time: the group is of no use any more."""

    # Between them.

    def _is_over(self, case: _Case) -> bool:
        return len(case.settled) == self._size or case.is_given_up or self._broke is not None

    def _end(self, case: _Case) -> End:
        if len(case.settled) < self._size and self._broke is not None and not case.is_given_up:
            return End(error=self._broke)
        return next((end for end in case.failures if end.knows_why), (case.failures or [End()])[0])

    def _expect_all(self, case: _Case) -> None:
        async def watch() -> None:
            await asyncio.sleep(SETTLE_SECONDS)
            if not self._is_over(case):
                case.is_given_up = True
                await self._tell()
                self.gave_up()

        task = asyncio.ensure_future(watch())
        self._timers.add(task)
        task.add_done_callback(self._timers.discard)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)
