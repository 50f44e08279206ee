"""Convergence: a metric against images seen, by arm, as the mean over seeds inside a band of all of them."""

import statistics
from collections.abc import Mapping, Sequence

from curriculum_search.report.page.data import Arm, Points
from curriculum_search.report.page.plot import Look, Plot, Spec, images_axis, number, spec, text, value_axis

#: With more arms, those that are neither leading nor led by are drawn when the reader asks for them.
_MOST_SHOWN = 8


def convergence(arms: Sequence[Arm], looks: Mapping[str, Look], metrics: Sequence[str], *, total_images: int) -> Plot:
    """One line an arm with its band, one view for each metric; the dotted line is where the reference ends."""
    drawn = {metric: _view(metric, arms, looks, total_images) for metric in metrics}
    return Plot(
        name="convergence",
        label=f"Convergence of each arm: {', '.join(metrics)} against images seen",
        height=440 + 18 * max(0, len(arms) - 4),
        views=drawn,
    )


def plotted_metrics(arms: Sequence[Arm], first: Sequence[str]) -> list[str]:
    """Those metrics that have a curve, `first` and the losses; not what tells of the machine."""
    known = dict.fromkeys(metric for arm in arms for metric in arm.curves)
    wanted = [*first, "val_loss", "train_loss", "unlocked_share"]
    return [metric for metric in dict.fromkeys(wanted) if metric in known]


def _view(metric: str, arms: Sequence[Arm], looks: Mapping[str, Look], total_images: int) -> Spec:
    data: list[Spec] = []
    values: list[float] = []
    end: float | None = None
    for arm in arms:
        runs = [run for run in arm.curves.get(metric, {}).values() if run]
        if not runs:
            continue
        look = looks[arm.title]
        images, lows, means, highs = _band(runs)
        hidden: Spec = {"visible": "legendonly"} if len(arms) > _MOST_SHOWN and arm.role == "baseline" else {}
        values += [] if hidden else [*lows, *highs]
        end = means[-1] if arm.role == "reference" else end
        if len(runs) > 1:
            data.append(
                {
                    "type": "scatter",
                    "x": [*images, *reversed(images)],
                    "y": [*highs, *reversed(lows)],
                    "fill": "toself",
                    "fillcolor": look.faded(0.13),
                    "line": {"width": 0},
                    "mode": "lines",
                    "hoverinfo": "skip",
                    "legendgroup": arm.title,
                    "showlegend": False,
                    **hidden,
                }
            )
        seeds = f"{len(runs)} seed{'s' * (len(runs) != 1)}"
        where = "" if images[-1] == total_images else f" after {images[-1]:,} images"
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if len(images) < 30 else "lines",
                "name": f"{text(arm.title)} ({seeds}): {number(means[-1])}{where}",
                "legendgroup": arm.title,
                "x": images,
                "y": means,
                "line": {"color": look.colour, "width": 2.4, "dash": look.dash},
                "marker": {"size": 6, "color": look.colour},
                "customdata": list(zip(lows, highs, strict=True)),
                "hovertemplate": f"<b>{text(arm.title)}</b><br>%{{x:,}} images: %{{y:.4g}}"
                + ("<br>seeds from %{customdata[0]:.4g} to %{customdata[1]:.4g}" if len(runs) > 1 else "")
                + "<extra></extra>",
                **hidden,
            }
        )
    shapes = [] if end is None else [_level(end)]
    return spec(
        data,
        xaxis=images_axis(total_images),
        yaxis=value_axis(text(metric), values),
        shapes=shapes,
        legend={"entrywidthmode": "pixels", "entrywidth": 460, "traceorder": "normal"},
        margin={"t": 14, "b": 60},
    )


def _band(runs: Sequence[Points]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Images, and the lowest, mean and highest value there, wherever all runs have one; else of the longest run."""
    at: dict[int, list[float]] = {}
    for run in runs:
        for images, value in run:
            at.setdefault(images, []).append(value)
    shared = {images: values for images, values in sorted(at.items()) if len(values) == len(runs)}
    if not shared:
        longest = max(runs, key=len)
        shared = {images: [value] for images, value in longest}
    columns = list(shared.values())
    return list(shared), list(map(min, columns)), list(map(statistics.fmean, columns)), list(map(max, columns))


def _level(value: float) -> Spec:
    line = {"color": "$muted", "width": 1.2, "dash": "dot"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value, "line": line, "layer": "below"}
