"""Several objectives at once: which configs no other beats in all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from curriculum_search.direction import Direction
from curriculum_search.report.style import colours, legend, new_figure, plain, value_axis

_LINE = "#999999"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A config with a value for each objective.

    Attributes:
        name: short, for its label.
        values: of the objectives, the deciding one first.
        best: whether it belongs to the Pareto set, in which no config is beaten in one objective without winning in
            another.
    """

    name: str
    values: Sequence[float]
    best: bool


def pareto(
    configs: Mapping[str, Sequence[Scored]],
    *,
    objectives: Sequence[str],
    directions: Sequence[Direction],
    title: str = "",
    baseline: str | None = None,
) -> Figure:
    """The deciding objective against each of the others, a panel each.

    Every config is a point, one colour a group; those of the Pareto set are large and named.  With two objectives a
    line bounds what has been reached; with more, the set need not be a boundary in any one panel.

    Args:
        configs: group (as "easy to hard") to its configs.
        objectives: their names, the deciding one first; at least two.
        directions: of each objective.
        baseline: the group that is drawn in black.
    """
    colour = colours(configs, baseline)
    groups = {name: list(members) for name, members in configs.items() if members}
    panels = len(objectives) - 1
    figure = new_figure(min(7.0 + 2.5 * (panels - 1), 13.0), 4.8)
    row = figure.subplots(1, panels, squeeze=False, sharey=True)[0]
    everyone = [config for members in groups.values() for config in members]
    for other, axes in enumerate(row, start=1):
        plain(axes)
        if panels == 1:
            _boundary(axes, [config for config in everyone if config.best], directions[1])
        for name, members in groups.items():
            axes.scatter(
                [config.values[other] for config in members],
                [config.values[0] for config in members],
                s=[64 if config.best else 20 for config in members],
                color=colour[name],
                alpha=[1.0 if config.best else 0.45 for config in members],
                edgecolors="white",
                linewidths=0.6,
                zorder=3,
            )
        for config in everyone:
            if config.best:
                axes.annotate(
                    config.name,
                    (config.values[other], config.values[0]),
                    xytext=(6, 5),
                    textcoords="offset points",
                    fontsize=7.5,
                    zorder=4,
                )
        axes.margins(0.08)
        axes.set_xlabel(_label(objectives[other], directions[other]), fontsize=9)
    value_axis(row[0], [config.values[0] for config in everyone])
    row[0].set_ylabel(_label(objectives[0], directions[0]), fontsize=9)
    row[0].set_title(title, fontsize=10, loc="left")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colour[name], label=f"{name} ({len(members)})")
        for name, members in groups.items()
    ]
    count = sum(config.best for config in everyone)
    handles.append(
        Line2D(
            [], [], linestyle="-" if panels == 1 else "", color=_LINE, label=f"large, named: the Pareto set ({count})"
        )
    )
    legend(row[-1], handles)
    return figure


def _boundary(axes: Axes, best: Sequence[Scored], direction: Direction) -> None:
    """From each config of the set to the next: what is at least as good in the second objective reaches this first."""
    reached = direction.ranked(best, lambda config: config.values[1])
    axes.step(
        [config.values[1] for config in reached],
        [config.values[0] for config in reached],
        where="post",
        color=_LINE,
        linewidth=1.0,
        zorder=2,
    )


def _label(objective: str, direction: Direction) -> str:
    return f"{objective} ({direction.better} is better)"
