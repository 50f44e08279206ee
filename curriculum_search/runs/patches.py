"""Private parts of Ray Tune that behave otherwise while runs are at work; there is no public way to any of it.

Each says what would happen without it.
"""

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import ray
from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.utils.object_cache import _ObjectCache

#: How long a process without a run holds its resources, which others on the cluster may be waiting for.
KEPT_SECONDS = 60.0


@contextmanager
def tune_as_needed() -> Iterator[Callable[[], None]]:
    """All of them, within the block; a function that ends the processes which wait for a trial."""
    with (
        _deaths_are_no_surprise(),
        _no_trial_is_forgotten(),
        _no_signals_for_tune(),
        _processes_wait_for_work() as let_go,
    ):
        yield let_go


def end_process(controller: TuneController, trial: Any) -> None:
    """Kill the process of a trial, whatever state it is in; Tune takes it as dead.

    Tune has no call for it but one that waits for the process to come to an end itself.
    """
    actor = controller._trial_to_actor.get(trial)
    live = controller._actor_manager._live_actors_to_ray_actors_resources
    if actor in live:
        ray.kill(live[actor][0])


@contextmanager
def _deaths_are_no_surprise() -> Iterator[None]:
    """Have each death of a process reach the trial that it is of.

    Ray's manager of actors knows the death of an actor and the error of a task; on any other, such as that the node ran
    out of memory, it gives up the whole of Tune.  There is no public way to tell it.
    """
    original = RayActorManager._actor_task_failed

    def failed(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=str(exception))
        original(self, tracked_actor_task, exception)

    with patch.object(RayActorManager, "_actor_task_failed", failed):
        yield


@contextmanager
def _no_trial_is_forgotten() -> Iterator[None]:
    """Have a trial that cannot take over another's process, whose code does not come to its end, told as one whose
    process is gone: it is started again in another.

    Tune ends such a trial and tells neither scheduler nor searcher, which would wait for it for ever.
    """
    original = TuneController._on_trial_reset

    def reset(self: TuneController, trial: Any, success: bool) -> None:
        if success:
            original(self, trial, success)
        else:
            self._resetting_trials.remove(trial)
            words = "the run before it does not end"
            self._trial_task_failure(trial, RayActorError(error_msg=words))

    with patch.object(TuneController, "_on_trial_reset", reset):
        yield


@contextmanager
def _no_signals_for_tune() -> Iterator[None]:
    """Keep Tune from handlers of its own, with which it ends at once; of SIGUSR1 it has one whatever it is told."""
    with patch("ray.tune.tune._setup_signal_catching", threading.Event):
        yield


class _WaitingProcesses(_ObjectCache):
    """Keeps each process for a while, however many trials wait for one; that which has waited longest is used first."""

    def __init__(self, may_keep_one: bool = True) -> None:
        super().__init__(may_keep_one)
        self._since: dict[Any, float] = {}

    def cache_object(self, key: Any, obj: Any) -> bool:
        self._cached_objects[key].append(obj)
        self._num_cached_objects += 1
        self._since[obj] = time.monotonic()
        return True

    def pop_cached_object(self, key: Any) -> Any:
        found = super().pop_cached_object(key)
        self._since.pop(found, None)
        return found

    def flush_cached_objects(self, force_all: bool = False) -> Generator[Any, None, None]:
        limit = time.monotonic() - KEPT_SECONDS
        for waiting in self._cached_objects.values():
            for found in [one for one in waiting if force_all or self._since[one] <= limit]:
                waiting.remove(found)
                self._num_cached_objects -= 1
                del self._since[found]
                yield found

    def let_go(self) -> None:
        """Have all that wait now leave."""
        self._since = dict.fromkeys(self._since, -math.inf)


@contextmanager
def _processes_wait_for_work() -> Iterator[Callable[[], None]]:
    """Have the processes of trials that have ended wait for the next for a while.

    Tune keeps one, and as many more as trials are waiting at that moment.  A study hands out its runs in rounds, so at
    the start of each round all but one of the processes would be started anew, some seconds of imports each.
    """
    made: list[_WaitingProcesses] = []

    def make(may_keep_one: bool = True) -> _WaitingProcesses:
        made.append(_WaitingProcesses(may_keep_one))
        return made[-1]

    def let_go() -> None:
        for waiting in made:
            waiting.let_go()

    with patch("ray.tune.execution.tune_controller._ObjectCache", make):
        yield let_go
