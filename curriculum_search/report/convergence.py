"""A metric against images seen, by arm."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

from matplotlib.figure import Figure

from curriculum_search.direction import Direction
from curriculum_search.report.style import (
    colours,
    images_axis,
    legend,
    legend_columns,
    line_styles,
    new_figure,
    plain,
    value_axis,
)

Points = Sequence[tuple[int, float]]


def convergence(
    curves: Mapping[str, Sequence[Points]],
    *,
    metric: str,
    title: str = "",
    highlight: Literal["mean", "best"] = "mean",
    direction: Direction = Direction.MINIMIZE,
    baseline: str | None = None,
) -> Figure:
    """The curves of all runs, one colour an arm.

    Every run is a thin line, which ends in a cross where it was stopped before the others' end.  An arm has one thick
    line: its mean over seeds, where all of its runs have a value; or, where its runs are trials of a search with
    settings of their own, its best run.  A dotted line shows where the baseline ends.

    Args:
        curves: arm to its runs, each (images seen, value) in order.  Arms without any point are left out.
        metric: its name, for the axis.
        direction: whether less or more of it is better.
        highlight: what the thick line is.
        baseline: the arm that is drawn in black.
    """
    colour, style = colours(curves, baseline), line_styles(curves, baseline)
    arms = {name: [list(run) for run in runs if run] for name, runs in curves.items()}
    arms = {name: runs for name, runs in arms.items() if runs}
    total = max((run[-1][0] for runs in arms.values() for run in runs), default=1)

    def thick(runs: list[list[tuple[int, float]]]) -> list[tuple[int, float]]:
        if highlight == "mean":
            return _mean(runs)
        whole = [run for run in runs if run[-1][0] == max(run[-1][0] for run in runs)]
        return direction.best(whole, lambda run: run[-1][1])

    main = {name: line for name, runs in arms.items() if (line := thick(runs))}
    labels = {name: _label(name, arms[name], line[-1][1]) for name, line in main.items()}
    rows = len(main) / legend_columns(labels.values()) if len(main) > 5 else 0.0
    figure = new_figure(8.0, 4.6 + 0.2 * rows)
    axes = figure.subplots()
    for name, runs in arms.items():
        for run in runs if len(runs) > 1 else []:
            axes.plot(*zip(*run, strict=True), color=colour[name], linewidth=0.7, alpha=0.35, zorder=2)
            if run[-1][0] < total:
                axes.plot(*run[-1], marker="x", markersize=4, color=colour[name], alpha=0.7, zorder=2)
    lines = []
    for name in direction.ranked(main, lambda name: main[name][-1][1]):
        images, values = zip(*main[name], strict=True)
        lines += axes.plot(
            images,
            values,
            color=colour[name],
            linestyle=style[name],
            linewidth=2.2,
            marker="o" if len(images) < 30 else None,
            markersize=3.5,
            label=labels[name],
            zorder=4 if name == baseline else 3,
        )
    if baseline in main:
        axes.axhline(main[baseline][-1][1], color=colour[baseline], linewidth=0.9, linestyle=(0, (1, 3)), zorder=1)
    plain(axes)
    images_axis(axes, total)
    value_axis(axes, [value for runs in arms.values() for run in runs for _, value in run])
    axes.set_ylabel(f"{metric} ({direction.better} is better)", fontsize=9)
    axes.set_title(title, fontsize=10, loc="left")
    legend(axes, lines)
    return figure


def _label(name: str, runs: list[list[tuple[int, float]]], value: float) -> str:
    """An arm in the legend: how many runs it has, and where its thick line ends."""
    count = f" ({len(runs)})" if len(runs) > 1 else ""
    return f"{name}{count}: {value:.4g}"


def _mean(runs: list[list[tuple[int, float]]]) -> list[tuple[int, float]]:
    """The mean over runs at the points that all of them have."""
    values = [dict(run) for run in runs]
    shared = sorted(set.intersection(*(set(run) for run in values)))
    return [(images, statistics.fmean(run[images] for run in values)) for images in shared]
