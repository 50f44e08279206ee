"""Phases one after the other as one source of jobs, so that the processes of one go on with the runs of the next."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from curriculum_search.experiment import Resources
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome
from curriculum_search.search.phases.base import Phase
from curriculum_search.training import Report, StatusReport


class Chain(JobSource):
    """Hands out the jobs of each phase that has any, within the time that counts as the study's work.

    As a source it is done when no phase is left, or when the next one's runs need other resources; `phase` tells
    which.  Its block ends the phase that is under way.

    Args:
        phases: each made when the one before has ended.
        room: how many runs of a phase the cluster has room for.

    Attributes:
        phase: the one whose jobs come next; None: none is left.
    """

    phase: Phase | None

    def __init__(self, phases: Iterator[Phase], room: Callable[[Phase], int]) -> None:
        self._phases = phases
        self._room = room
        self._under_way = ExitStack()
        self._running: set[str] = set()
        self._handed_out = False  # all of the phase's jobs

    def __enter__(self) -> Self:
        with ExitStack() as otherwise:
            otherwise.push(self._under_way)
            self._advance()
            otherwise.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._under_way.__exit__(kind, error, trace)

    @property
    def resources(self) -> Resources | None:
        """What a run of the phase needs; None: no phase is left."""
        if self.phase is None:
            return None
        return self.phase.ledger.design.experiment(self.phase.size).resources

    def next(self) -> Job | Exhausted:
        """See `JobSource`; the next phase is made when the last run of one has ended."""
        before = self.resources
        while self.phase is not None and self.resources == before:
            found = Exhausted.DONE if self._handed_out else self.phase.next()
            if isinstance(found, Job):
                self._running.add(found.key)
                return found
            self._handed_out = found is Exhausted.DONE
            if self._running or not self._handed_out:
                return Exhausted.WAIT
            self._close()
            self._advance()
        return Exhausted.DONE

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Tell the phase."""
        self._running.discard(job.key)
        self._current.ended(job, outcome)

    def reported(self, job: Job, report: Report) -> bool:
        """Ask the phase."""
        return self._current.reported(job, report)

    def progressed(self, job: Job, status: StatusReport) -> None:
        """Tell the phase."""
        self._current.progressed(job, status)

    def went_on(self, job: Job) -> None:
        """Tell the phase."""
        self._current.went_on(job)

    def restarted(self, job: Job, reason: str) -> None:
        """Tell the phase."""
        self._current.restarted(job, reason)

    def remarked(self, job: Job, words: str) -> None:
        """Tell the phase."""
        self._current.remarked(job, words)

    def befell(self, words: str) -> None:
        """Tell the phase, if one is left."""
        if self.phase is None:
            super().befell(words)
        else:
            self.phase.befell(words)

    def noticed(self, line: str) -> None:
        """Have the phase say it, if one is left."""
        if self.phase is None:
            super().noticed(line)
        else:
            self.phase.noticed(line)

    def tick(self, capacity: Capacity) -> None:
        """Have the phase show how it goes, if one is left."""
        if self.phase is not None:
            self.phase.tick(capacity)

    @property
    def _current(self) -> Phase:
        if self.phase is None:
            raise RuntimeError("a run is heard of after the last phase has ended")
        return self.phase

    def _advance(self) -> None:
        """Go on to the next phase that has runs."""
        self.phase = None
        for phase in self._phases:
            self.phase, self._handed_out = phase, False
            if phase.pending():
                self._open(phase)
                return
            self._close()
            self.phase = None

    def _open(self, phase: Phase) -> None:
        ledger = phase.ledger
        self._under_way.enter_context(ledger.at_work())
        concurrency = self._room(phase)
        ledger.set_concurrency(phase.size, concurrency)
        phase.count()
        print(f"{phase.name}: {ledger.design.experiment(phase.size).summary()}", flush=True)
        self._under_way.enter_context(phase.progress.under_way(concurrency))

    def _close(self) -> None:
        self._under_way.close()
        phase = self._current
        if not phase.progress.failures:  # which the next command tries again
            phase.ledger.close(phase.name)
