"""Private parts of Ray Tune that behave otherwise while runs are at work; there is no public way to any of it.

Each says what would happen without it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from ray.air.execution._internal import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.execution.tune_controller import TuneController


@contextmanager
def tune_as_needed() -> Iterator[None]:
    """All of them, within the block."""
    with _deaths_are_no_surprise(), _no_trial_is_forgotten(), _no_signals_for_tune():
        yield


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
