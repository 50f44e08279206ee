"""The figure: by context and arm the whole effect, the exposure and the order, each with its interval."""

import math
from collections.abc import Mapping
from pathlib import Path

from findings_parts.effects import Outcome
from matplotlib.axes import Axes

from curriculum_search.report.style import BASELINE_COLOUR, COLOURS, new_figure, plain
from curriculum_search.search.statistics.comparison import Comparison

#: What is drawn of an arm, from above: its name, and the colour.
_PARTS = {"all of it": BASELINE_COLOUR, "exposure alone": COLOURS[0], "order on top of it": COLOURS[1]}
_COLUMNS, _WIDTH, _ROW_HEIGHT = 3, 4.2, 3.9
_OFFSET = 0.24  # between what is drawn of an arm
#: Of ordinary training's mean, in per cent: what is further away is drawn as an arrow at the edge.
_EDGE = 100.0


def draw(outcomes: Mapping[str, Outcome], path: Path) -> None:
    """Draw all contexts that have ended, in a panel each.

    Args:
        outcomes: by context, at least one.
        path: of the figure.
    """
    columns = min(_COLUMNS, len(outcomes))
    rows = math.ceil(len(outcomes) / columns)
    figure = new_figure(_WIDTH * columns + 1.2, _ROW_HEIGHT * rows + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for panel, outcome in zip(panels, outcomes.values(), strict=False):
        _draw_context(panel, outcome)
    for panel in panels[len(outcomes) :]:
        panel.set_visible(False)
    handles = [
        panels[0].plot([], [], "o-", color=colour, label=name, markersize=4)[0] for name, colour in _PARTS.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9)
    figure.savefig(path)


def _draw_context(axes: Axes, outcome: Outcome) -> None:
    scale = 100 / abs(outcome.mean(outcome.plan.reference))
    for row, arm in enumerate(outcome.arms):
        parts = (outcome.total(arm), outcome.exposure(arm), outcome.order(arm))
        drawn = [(part, colour) for part, colour in zip(parts, _PARTS.values(), strict=True) if part is not None]
        for place, (part, colour) in enumerate(drawn):
            _draw_interval(axes, part, scale, row + _OFFSET * (place - (len(drawn) - 1) / 2), colour)
    axes.axvline(0, color=BASELINE_COLOUR, linewidth=0.8)
    axes.set_yticks(range(len(outcome.arms)), [arm.replace("_", " ") for arm in outcome.arms])
    axes.set_ylim(len(outcome.arms) - 0.4, -0.6)
    axes.set_xlim(-_EDGE, _EDGE)
    axes.set_title(outcome.name, fontsize=9)
    better = "left" if outcome.plan.sign < 0 else "right"
    axes.set_xlabel(
        f"{outcome.metrics[0]}: difference, % of ordinary training's mean\n({better} is better)", fontsize=8
    )
    plain(axes)


def _draw_interval(axes: Axes, comparison: Comparison, scale: float, y: float, colour: str) -> None:
    """A claimed difference has a full mark, any other an empty one."""
    if not math.isfinite(comparison.difference):
        return
    value, *ends = (scale * bound for bound in (comparison.difference, comparison.low, comparison.high))
    inside = [min(max(end, -_EDGE), _EDGE) for end in ends]
    axes.plot(inside, [y, y], color=colour, linewidth=1.2)
    face = colour if comparison.claimed else "white"
    if abs(value) <= _EDGE:
        axes.plot(value, y, "o", color=colour, markerfacecolor=face, markersize=4)
    else:
        edge = math.copysign(_EDGE, value)
        axes.plot(edge, y, ">" if value > 0 else "<", color=colour, markerfacecolor=face, markersize=5, clip_on=False)
        axes.annotate(
            f"{value:+.0f} %", (edge, y), xytext=(-6 if value > 0 else 6, 0), textcoords="offset points",
            ha="right" if value > 0 else "left", va="center", fontsize=6, color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
