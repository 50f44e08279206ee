"""A run's schedule in numbers, as its sampler draws it."""

import numpy as np
import pytest
from support.workplace import Workplace

from curriculum_search.runs.job import Status
from curriculum_search.runs.result import Curve, RunResult
from curriculum_search.search.arms import Arm, Run
from curriculum_search.search.results.schedule import schedule

CURRICULUM = {
    "curriculum.order.kind": "easy_to_hard",
    "curriculum.num_clusters": 4,
    "curriculum.partition.kind": "uniform",
}
SWITCHES: list[dict[str, object]] = [{"images": 0, "stage": 1}, {"images": 80, "stage": 2}, {"images": 160, "stage": 4}]


def run_of(workplace: Workplace, **values: object) -> Run:
    paths = {path.replace("__", "."): value for path, value in values.items()}
    return workplace.load().run(Arm(name="arm", role="searched", values=CURRICULUM | paths), 1)


def curve_of(*switches: dict[str, object], images: int = 320) -> Curve:
    return Curve(images=[images], metrics=[{"val_loss": 1.0}], switches=list(switches))


def test_stretches_are_the_stages_of_the_run_and_the_exposure_is_their_average(workplace: Workplace) -> None:
    found = schedule(run_of(workplace), curve_of(*SWITCHES), None)
    assert found is not None
    assert (found.starts, found.total_images, found.stages) == ([0, 80, 160], 320, 3)
    middles = (np.array(found.edges[1:]) + np.array(found.edges[:-1])) / 2
    first, second, last = np.array(found.density)
    assert np.allclose(first, np.where(middles > 0.75, 4.0, 0.0))
    assert np.allclose(second, np.where(middles > 0.5, 2.0, 0.0))
    assert np.allclose(last, 1.0)
    assert np.allclose(found.exposure, 0.25 * first + 0.25 * second + 0.5 * last)
    assert found.remark == ""


def test_the_exposure_of_a_finished_run_is_what_it_reported(workplace: Workplace) -> None:
    exposure = {"edges": [0.0, 0.5, 1.0], "mass": [0.25, 0.75]}
    result = RunResult(status=Status.FINISHED, metrics={}, images=320, seconds=1.0, exposure=exposure)
    found = schedule(run_of(workplace), curve_of(*SWITCHES), result)
    assert found is not None
    assert np.allclose(found.exposure, np.where(np.array(found.edges[:-1]) < 0.5, 0.5, 1.5))


def test_a_run_that_told_of_no_stage_is_shown_as_ordinary_training(workplace: Workplace) -> None:
    found = schedule(run_of(workplace, curriculum__order__kind="none"), curve_of(images=40), None)
    assert found is not None
    assert (found.starts, found.total_images) == ([0], 40)
    assert np.allclose(found.density, 1.0)


@pytest.mark.parametrize(
    ("process", "word"),
    [("ddpm", "timestep"), ("edm", "sigma"), ("flow", "level")],
)
def test_levels_are_in_the_words_of_the_process(workplace: Workplace, process: str, word: str) -> None:
    found = schedule(run_of(workplace, process__kind=process), curve_of(*SWITCHES), None)
    assert found is not None
    assert all(level.startswith(f"{word} ") for level in found.levels)
    assert len(found.levels) == len(found.edges) - 1


def test_a_density_of_many_knots_is_shown_on_fewer(workplace: Workplace) -> None:
    found = schedule(run_of(workplace, density__kind="logit_normal", process__kind="flow"), curve_of(*SWITCHES), None)
    assert found is not None
    assert len(found.edges) < 140
    widths = np.diff(found.edges)
    assert np.allclose(np.array(found.density) @ widths, 1.0)
    assert np.all(widths > 0)


def test_a_density_that_follows_the_losses_says_so(workplace: Workplace) -> None:
    found = schedule(run_of(workplace, density__kind="loss_second_moment"), curve_of(*SWITCHES), None)
    assert found is not None
    assert "follows the losses" in found.remark


def test_a_curriculum_whose_measurement_cannot_be_read_has_no_schedule(workplace: Workplace) -> None:
    path = workplace.folder / "difficulty.json"
    path.write_text("half a fi")
    measured = {"curriculum__partition__kind": "measured", "curriculum__partition__path": str(path)}
    assert schedule(run_of(workplace, **measured), curve_of(*SWITCHES), None) is None


def test_a_density_that_moves_is_shown_as_it_moves(workplace: Workplace) -> None:
    moving = {"kind": "moving", "start": {"kind": "logit_normal"}, "pacing": {"kind": "linear", "end_share": 0.5}}
    run = run_of(workplace, density=moving, curriculum__order__kind="none", process__kind="flow")
    found = schedule(run, curve_of(images=320), None)
    assert found is not None
    assert found.stages == 1
    assert len(found.starts) == 65  # 64 steps and what was there before
    assert np.allclose(found.density[-1], 1.0)
    middle = len(found.edges) // 2
    ways = [column[middle] for column in found.density]
    assert ways == sorted(ways, reverse=True)
    assert found.starts[-1] == pytest.approx(160, abs=1)
