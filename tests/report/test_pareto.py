"""The figure of several objectives, looked at as what it draws."""

from pathlib import Path

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from curriculum_search.direction import Direction
from curriculum_search.report import Scored, pareto

CONFIGS = {
    "no curriculum": [Scored(name="none", values=(3.0, 0.9), best=False)],
    "easy to hard": [Scored(name="trial 1", values=(2.0, 0.5), best=True)],
    "random": [
        Scored(name="trial 2", values=(1.0, 0.8), best=True),
        Scored(name="trial 3", values=(4.0, 0.2), best=True),
        Scored(name="trial 4", values=(4.5, 0.6), best=False),
    ],
    "hard to easy": [],
}


def drawn(**options: object) -> Figure:
    settings = {"objectives": ["fd", "images_to_baseline"], "directions": [Direction.MINIMIZE] * 2} | options
    return pareto(CONFIGS, baseline="no curriculum", **settings)  # type: ignore[arg-type]


def dots(figure: Figure, panel: int = 0) -> dict[tuple[float, float], tuple[float, str]]:
    """Where the points are, with their size and colour."""
    found = {}
    for collection in figure.axes[panel].collections:
        assert isinstance(collection, PathCollection)
        for place, size, colour in zip(
            np.asarray(collection.get_offsets()).tolist(),
            collection.get_sizes(),
            np.asarray(collection.get_facecolor()).tolist() * 9,
            strict=False,
        ):
            found[tuple(place)] = (float(size), to_hex(tuple(colour)))
    return found


def test_every_config_is_a_point_with_the_deciding_objective_upwards() -> None:
    figure = drawn()
    (axes,) = figure.axes
    points = dots(figure)
    assert set(points) == {(0.9, 3.0), (0.5, 2.0), (0.8, 1.0), (0.2, 4.0), (0.6, 4.5)}
    assert points[0.9, 3.0][1] == "#222222"
    assert points[0.8, 1.0][1] == points[0.6, 4.5][1] != points[0.5, 2.0][1]
    assert axes.get_xlabel() == "images_to_baseline (lower is better)"
    assert axes.get_ylabel() == "fd (lower is better)"
    legend = axes.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["no curriculum (1)", "easy to hard (1)", "random (3)", "large, named: the Pareto set (3)"]


def test_the_pareto_set_is_large_named_and_bounded() -> None:
    figure = drawn()
    points = dots(figure)
    large = {place for place, (size, _) in points.items() if size > 50}
    assert large == {(0.5, 2.0), (0.8, 1.0), (0.2, 4.0)}
    names = [text for text in figure.axes[0].texts if isinstance(text, Annotation)]
    assert len(names) == len(figure.axes[0].texts)
    assert {text.get_text(): text.xy for text in names} == {
        "trial 1": (0.5, 2.0),
        "trial 2": (0.8, 1.0),
        "trial 3": (0.2, 4.0),
    }
    (line,) = figure.axes[0].lines
    assert np.asarray(line.get_xydata()).tolist() == [[0.2, 4.0], [0.5, 2.0], [0.8, 1.0]]
    assert line.get_drawstyle() == "steps-post"


def test_the_boundary_begins_at_the_best_of_the_second_objective_whichever_way_that_is() -> None:
    (line,) = drawn(directions=[Direction.MAXIMIZE] * 2).axes[0].lines
    assert [x for x, _ in np.asarray(line.get_xydata()).tolist()] == [0.8, 0.5, 0.2]


def test_with_more_objectives_there_is_a_panel_for_each_beside_the_deciding_one(tmp_path: Path) -> None:
    configs = {"random": [Scored(name=f"trial {i}", values=(1.0 + i, 9.0 - i, 0.5 * i), best=True) for i in range(4)]}
    figure = pareto(
        configs,
        objectives=["fd", "kid", "speed"],
        directions=[Direction.MINIMIZE, Direction.MINIMIZE, Direction.MAXIMIZE],
    )
    left, right = figure.axes
    assert (left.get_xlabel(), right.get_xlabel()) == ("kid (lower is better)", "speed (higher is better)")
    assert set(dots(figure, 0)) == {(9.0 - i, 1.0 + i) for i in range(4)}
    assert set(dots(figure, 1)) == {(0.5 * i, 1.0 + i) for i in range(4)}
    assert not left.lines
    assert not right.lines
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_a_search_without_any_result_still_has_a_figure(tmp_path: Path) -> None:
    pareto({}, objectives=["fd", "kid"], directions=[Direction.MINIMIZE] * 2).savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").exists()
