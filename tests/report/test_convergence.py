"""The figure of convergence curves, looked at as the lines that it draws."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from curriculum_search.direction import Direction
from curriculum_search.report import convergence

BASELINE = [(100, 9.0), (200, 6.0), (300, 5.0)]
SEEDS = [[(100, 8.0), (200, 4.0), (300, 3.0)], [(100, 6.0), (200, 2.0), (300, 1.5)]]
STOPPED = [(100, 20.0), (200, 19.0)]


def named_lines(figure: Figure) -> dict[str, Line2D]:
    (axes,) = figure.axes
    legend = axes.get_legend() or figure.legends[0]
    lines = {line.get_label(): line for line in axes.lines}
    return {text.get_text(): lines[text.get_text()] for text in legend.get_texts()}


def points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def test_an_arm_is_the_mean_of_its_seeds_over_thin_lines_of_each() -> None:
    figure = convergence({"none": [BASELINE], "easy": SEEDS}, metric="fd", baseline="none")
    lines = named_lines(figure)
    assert list(lines) == ["easy (2): 2.25", "none: 5"]
    assert points(lines["easy (2): 2.25"]) == [(100, 7.0), (200, 3.0), (300, 2.25)]
    thin = [line for line in figure.axes[0].lines if line.get_linewidth() < 1 and len(points(line)) == 3]
    assert [points(line) for line in thin] == [[(x, y) for x, y in run] for run in SEEDS]
    assert {line.get_color() for line in thin} == {lines["easy (2): 2.25"].get_color()}


def test_the_mean_ends_where_the_first_of_its_runs_does() -> None:
    figure = convergence({"easy": [SEEDS[0], STOPPED]}, metric="fd")
    (line,) = named_lines(figure).values()
    assert points(line) == [(100, 14.0), (200, 11.5)]


@pytest.mark.parametrize(("direction", "best"), [(Direction.MINIMIZE, SEEDS[1]), (Direction.MAXIMIZE, SEEDS[0])])
def test_an_arm_of_different_trials_is_shown_by_its_best_that_ran_to_the_end(
    direction: Direction, best: list[tuple[int, float]]
) -> None:
    figure = convergence({"easy": [*SEEDS, [(100, 0.5)], STOPPED]}, metric="fd", highlight="best", direction=direction)
    (line,) = named_lines(figure).values()
    assert points(line) == best
    crosses = [points(line) for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert crosses == [[(100, 0.5)], [(200, 19.0)]]


def test_the_baseline_is_black_and_its_end_is_a_line_across() -> None:
    figure = convergence({"easy": SEEDS, "none": [BASELINE]}, metric="fd", baseline="none")
    line = named_lines(figure)["none: 5"]
    assert line.get_color() == "#222222"
    across = [line for line in figure.axes[0].lines if [y for _, y in points(line)] == [5.0, 5.0]]
    assert len(across) == 1


def test_the_value_axis_is_logarithmic_only_where_that_helps() -> None:
    near = convergence({"a": [BASELINE]}, metric="fd").axes[0]
    far = convergence({"a": [BASELINE, [(100, 90.0)]]}, metric="fd").axes[0]
    signed = convergence({"a": [[(100, 90.0), (200, -1.0)]]}, metric="fd").axes[0]
    assert [axes.get_yscale() for axes in (near, far, signed)] == ["linear", "log", "linear"]


def test_ten_arms_can_be_told_apart_and_arms_without_points_are_left_out(tmp_path: Path) -> None:
    curves = {f"arm {i}": [[(100, 10.0 + i), (200, 1.0 + i)]] for i in range(10)}
    figure = convergence({**curves, "failed": [[]], "none at all": []}, metric="fd", baseline="arm 3")
    lines = named_lines(figure)
    assert len({(line.get_color(), line.get_linestyle()) for line in lines.values()}) == len(lines) == 10
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["arm {}", "random order {} (2 % of the run): random, 20 clusters, plateau"])
def test_names_of_any_length_are_within_the_figure_and_do_not_hide_each_other(name: str) -> None:
    curves = {name.format(i): [[(0, 3.0), (640, 2.0 + i)]] * 2 for i in range(7)}
    figure = convergence(curves, metric="fd", direction=Direction.MINIMIZE)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.legends[0].get_texts()]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_study_without_any_point_still_has_a_figure(tmp_path: Path) -> None:
    convergence({"failed": [[]]}, metric="fd", baseline="failed").savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").exists()
