"""A run on disk: its result, its curve, and what tells runs apart in a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest

from curriculum_search.curriculum import Curriculum, NoOrder, Plateau
from curriculum_search.direction import Direction
from curriculum_search.experiment import Experiment
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Outcome, Status
from curriculum_search.runs.result import Curve, RunResult
from curriculum_search.runs.store import RunStore, tracked_params
from curriculum_search.tracking import Tracker
from curriculum_search.training import Report


def report(
    images: int,
    value: float,
    *,
    switches: Sequence[Mapping[str, Any]] = (),
    exposure: Mapping[str, list[float]] | None = None,
) -> Report:
    return Report(images=images, metrics={"fd": value}, switches=tuple(switches), exposure=exposure or {})


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).read_result() is None
    result = RunResult(
        status=Status.STOPPED,
        metrics={"fd": 0.1 + 0.2},
        images=640,
        seconds=1.5,
        exposure={"edges": [0.0, 1.0], "mass": [1.0]},
        reason="because",
    )
    RunFolder(tmp_path).write_result(result)
    assert RunFolder(tmp_path).read_result() == result
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_curve_has_each_point_once_and_the_last_exposure() -> None:
    curve = Curve()
    assert curve.add(report(10, 3.0, switches=({"stage": 1},)))
    assert curve.add(report(20, 2.0, switches=({"stage": 2},), exposure={"mass": [1.0]}))
    assert not curve.add(report(10, 3.0, switches=({"stage": 1},)))  # said again after a resume
    assert not curve.add(report(20, 2.0))
    assert curve.add(Report(images=30, metrics={"other": 1.0}))
    assert curve.points("fd") == [(10, 3.0), (20, 2.0)]
    assert curve.columns("fd") == ([10, 20], [3.0, 2.0])
    assert curve.switches == [{"stage": 1}, {"stage": 2}]
    assert curve.exposure == {"mass": [1.0]}


@pytest.mark.parametrize(
    ("status", "values", "tracked"),
    [
        (Status.FINISHED, [3.0, 1.0, 2.0], {"best_fd": 1.0, "end_fd": 2.0}),
        (Status.STOPPED, [3.0, 1.0], {"best_fd": 1.0}),
        (Status.DIVERGED, [3.0], {"best_fd": 3.0}),
        (Status.FAILED, [], {}),
    ],
)
def test_only_a_run_that_came_to_its_end_has_a_value_there(
    tmp_path: Path, status: Status, values: list[float], tracked: dict[str, float]
) -> None:
    tracker = create_autospec(Tracker, instance=True)
    store = RunStore(
        tmp_path, cache_dir=tmp_path, plugins={}, tracker=tracker, objective="fd", direction=Direction.MINIMIZE
    )
    job = store.start("key", Experiment(), name="trial", tags={})
    for i, value in enumerate(values):
        store.reported(job.key, report(10 * i, value))
    store.ended(job.key, Outcome(status=status))
    assert tracker.end_run.call_args.kwargs["best"] == tracked


@pytest.mark.parametrize("experiment", [Experiment(), Experiment(curriculum=Curriculum(pacing=Plateau()), seed=3)])
def test_a_table_shows_few_and_short_settings(experiment: Experiment) -> None:
    params = tracked_params(experiment)
    assert params["order"] == "easy_to_hard"
    assert params["pacing"] == experiment.curriculum.pacing.to_dict()["kind"]
    assert params["seed"] == str(experiment.seed)
    assert len(params) <= 11
    assert max(map(len, params.values())) < 30


def test_ordinary_training_has_no_settings_of_a_curriculum() -> None:
    params = tracked_params(Experiment(curriculum=Curriculum(order=NoOrder())))
    assert params["order"] == "none"
    assert not {"clusters", "pacing", "partition", "accumulation", "end_share"} & set(params)
