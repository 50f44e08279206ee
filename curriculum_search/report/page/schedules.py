"""The noise schedule of an arm: what it trained on and when, beside how often that makes each noise level in all."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curriculum_search.report.page.data import Arm, Schedule
from curriculum_search.report.page.plot import SHADES, Look, Plot, Spec, axis, images_axis, number, spec, text

_TICKS = (0.25, 1.0, 4.0, 16.0, 64.0, 256.0)
#: Densities below this share of an even one are as good as none for the eye.
_LEAST = 1 / 16


@dataclass(frozen=True)
class Scale:
    """What the shades of all schedules of a page mean: the logarithm to base 2 of a density, from `low` to `high`."""

    low: float
    high: float

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places on it, in shares of its length, and what they mean."""
        logs = {tick: math.log2(tick) for tick in _TICKS}
        length = self.high - self.low
        return [((log - self.low) / length, f"{tick:g}×") for tick, log in logs.items() if self.low < log <= self.high]


def scale(arms: Sequence[Arm]) -> Scale:
    """Up to the greatest density of any arm."""
    most = [max(map(max, arm.schedule.density)) for arm in arms if arm.schedule is not None]
    return Scale(math.log2(_LEAST), max(math.log2(max(most, default=1.0)), 1.0))


def schedules(arms: Sequence[Arm], looks: Mapping[str, Look]) -> list[tuple[Arm, Plot]]:
    """A plot for each arm whose schedule is known, all with the same shades."""
    known = [(arm, arm.schedule) for arm in arms if arm.schedule is not None]
    return [
        (arm, _plot(i, arm.title, schedule, looks[arm.title], scale(arms))) for i, (arm, schedule) in enumerate(known)
    ]


def _plot(i: int, title: str, schedule: Schedule, look: Look, shades: Scale) -> Plot:
    most = max(schedule.exposure)
    view = spec(
        [_heat(schedule, shades), _bars(schedule, look)],
        xaxis=images_axis(schedule.total_images, domain=[0, 0.7], range=[0, schedule.total_images], nticks=5),
        yaxis=axis(
            range=[0, 1],
            tickvals=[0, 0.25, 0.5, 0.75, 1],
            ticktext=["clean 0", "0.25", "0.5", "0.75", "noise 1"],
            showgrid=False,
        ),
        xaxis2=axis(
            "exposure",
            domain=[0.74, 1],
            range=[0, 1.08 * max(most, 1.8)],
            tickvals=[0, 1, *([math.floor(most)] if most >= 2 else [])],
            ticksuffix="×",
            tickangle=0,
        ),
        shapes=[
            {
                "type": "line",
                "xref": "x2",
                "x0": 1,
                "x1": 1,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": "$muted", "width": 1, "dash": "dot"},
            }
        ],
        bargap=0,
        showlegend=False,
        margin={"t": 12, "r": 8},
    )
    return Plot(
        name=f"schedule-{i}",
        label=f"{title}: density of training over noise levels and images, and its exposure",
        height=236,
        views={"": view},
    )


def _heat(schedule: Schedule, shades: Scale) -> Spec:
    """Columns as wide as their stretches, rows as high as their intervals; no training is no shade."""
    columns = list(zip(*schedule.density, strict=True))
    heat: dict[str, Any] = {
        "type": "heatmap",
        "x": [*schedule.starts, schedule.total_images],
        "y": list(schedule.edges),
        "z": [[max(math.log2(value), shades.low) if value > 0 else None for value in row] for row in columns],
        "zmin": shades.low,
        "zmax": shades.high,
        "colorscale": SHADES,
        "customdata": [
            [[level, f"{number(value)}×"] for value in row] for level, row in zip(schedule.levels, columns, strict=True)
        ],
        "hovertemplate": "from %{x:,.3s} images on, q = %{y:.2f} (%{customdata[0]}): "
        "%{customdata[1]} of an even density<extra></extra>",
        "hoverongaps": False,
        "showscale": False,
    }
    return heat


def _bars(schedule: Schedule, look: Look) -> Spec:
    edges = list(schedule.edges)
    return {
        "type": "bar",
        "orientation": "h",
        "xaxis": "x2",
        "y": [(low + high) / 2 for low, high in itertools.pairwise(edges)],
        "width": [high - low for low, high in itertools.pairwise(edges)],
        "x": list(schedule.exposure),
        "marker": {"color": look.colour, "line": {"width": 0}},
        "customdata": [text(level) for level in schedule.levels],
        "hovertemplate": "q = %{y:.2f} (%{customdata}): trained %{x:.3g} times as often as an even density does"
        "<extra></extra>",
    }
