"""What Tune's private parts are made to do: each is still where it is looked for, and is put back."""

from types import SimpleNamespace
from typing import Any

import pytest
import ray.tune.tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution import tune_controller
from ray.tune.execution.tune_controller import TuneController

from curriculum_search.runs import patches
from curriculum_search.runs.patches import tune_as_needed


def test_all_of_it_is_put_back() -> None:
    def parts() -> tuple[Any, ...]:
        return (
            RayActorManager._actor_task_failed,
            TuneController._on_trial_reset,
            ray.tune.tune._setup_signal_catching,
            tune_controller.__dict__["_ObjectCache"],
        )

    before = parts()
    with tune_as_needed():
        assert all(part is not old for part, old in zip(parts(), before, strict=True))
    assert parts() == before


def test_a_process_that_ran_out_of_memory_is_a_death_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Exception] = []
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", lambda self, task, error: seen.append(error))
    manager: Any = SimpleNamespace()
    task: Any = None
    error = OutOfMemoryError("the node is out of memory")  # type: ignore[no-untyped-call]
    with tune_as_needed():
        RayActorManager._actor_task_failed(manager, task, error)
    assert isinstance(seen[0], RayActorError)
    assert "the node is out of memory" in str(seen[0])


def test_a_trial_that_cannot_take_over_is_started_again_in_another_process() -> None:
    trial: Any = "trial"
    failures: list[tuple[object, Exception]] = []
    controller: Any = SimpleNamespace(
        _resetting_trials={trial}, _trial_task_failure=lambda trial, error: failures.append((trial, error))
    )
    with tune_as_needed():
        TuneController._on_trial_reset(controller, trial, success=False)
    assert controller._resetting_trials == set()
    assert failures[0][0] == trial
    assert isinstance(failures[0][1], RayActorError)


def test_processes_are_kept_as_long_as_they_may_wait_or_until_all_are_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with tune_as_needed() as let_go:
        waiting = tune_controller.__dict__["_ObjectCache"](may_keep_one=True)
    for process in ("first", "second", "third"):
        assert waiting.cache_object("one processor", process)
        now += 10.0
    assert waiting.num_cached_objects == 3
    assert waiting.pop_cached_object("one processor") == "first"
    assert waiting.pop_cached_object("two processors") is None
    assert list(waiting.flush_cached_objects()) == []
    now = 110.0 + patches.KEPT_SECONDS
    assert list(waiting.flush_cached_objects()) == ["second"]
    let_go()
    assert waiting.cache_object("one processor", "fourth")
    assert list(waiting.flush_cached_objects()) == ["third"]
    assert list(waiting.flush_cached_objects(force_all=True)) == ["fourth"]
    assert waiting.num_cached_objects == 0
    assert not waiting.has_cached_object("one processor")
