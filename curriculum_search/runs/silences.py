"""Ends, from outside, runs that have been silent beyond their limit.

A run ends itself (`watch`), and leaves its stacks, where its process can: one that has been halted, or is stuck in the
kernel, cannot.
"""

import time
from collections.abc import Callable, Mapping

from curriculum_search.runs.job import Job

#: How much longer than its limit a run may be silent: it ends itself first, wherever it can.
_GRACE_SECONDS = 60.0
#: Between two looks, at most; whoever was held up for longer has not heard meanwhile what was said.
_MOST_SECONDS = 5.0


class Silences:
    """How long each trial has said nothing, counted from the first that it has said.

    Args:
        clock: gives seconds.

    Attributes:
        ended: the trials whose processes have been ended.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.ended: set[str] = set()
        self._seconds: dict[str, float] = {}
        self._ends: dict[str, Callable[[], None]] = {}
        self._clock = clock
        self._looked = clock()

    def heard(self, trial_id: str, end: Callable[[], None]) -> None:
        """Take that a trial has said something; `end` ends its process."""
        self._seconds[trial_id], self._ends[trial_id] = 0.0, end

    def forget(self, trial_id: str) -> None:
        """Take that a trial is over."""
        self._seconds.pop(trial_id, None)

    def look(self, jobs: Mapping[str, Job]) -> None:
        """End the processes of the trials, of those under way, that have been silent for too long."""
        now = self._clock()
        passed, self._looked = min(now - self._looked, _MOST_SECONDS), now
        for trial_id in self._seconds.keys() & jobs.keys():
            self._seconds[trial_id] += passed
            limit = jobs[trial_id].experiment.cadence.silence_minutes
            if limit is not None and self._seconds[trial_id] > 60 * limit + _GRACE_SECONDS:
                self.forget(trial_id)
                self.ended.add(trial_id)
                self._ends[trial_id]()
