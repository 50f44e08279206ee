"""How hard each noise level is."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from curriculum_search.report.convergence import Points
from curriculum_search.report.style import colours, images_axis, legend, line_styles, new_figure, plain, value_axis

Steps = tuple[Sequence[float], Sequence[float]]  #: edges [K + 1] over q and values [K] between them


def difficulty(
    studies: Mapping[str, Steps],
    *,
    losses: Mapping[tuple[float, float], Points],
    title: str = "",
) -> Figure:
    """Left, the convergence of one model for each interval of q; right, the difficulties that follow, over q.

    Args:
        studies: name (as in "convergence", "entropy") to a difficulty that is constant between edges of q.
        losses: (low, high) of an interval of q to its model's normalised loss by images seen.
    """
    figure = new_figure(10.0, 4.2)
    left, right = figure.subplots(1, 2)
    shades = matplotlib.colormaps["viridis"]
    for (low, high), points in losses.items():
        left.plot(*zip(*points, strict=True), color=shades(0.95 * (low + high) / 2), linewidth=1.5)
    plain(left)
    images_axis(left, max((points[-1][0] for points in losses.values()), default=1))
    value_axis(left, [value for points in losses.values() for _, value in points])
    left.set_ylabel("normalised loss of each interval's model", fontsize=9)
    scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, 1), shades)
    bar = figure.colorbar(scale, ax=left, pad=0.02, aspect=30)
    bar.set_ticks([0, 0.5, 1], labels=["0 clean", "0.5", "1 noise"])
    bar.ax.tick_params(labelsize=7)
    bar.ax.set_title("q", fontsize=8)

    colour, style = colours(studies, None), line_styles(studies, None)
    lines = [
        right.stairs(values, edges, color=colour[name], linestyle=style[name], linewidth=2.0, label=name, baseline=None)
        for name, (edges, values) in studies.items()
    ]
    right.axhline(1.0, color="#999999", linewidth=0.9, linestyle=(0, (1, 3)), zorder=1)
    plain(right)
    value_axis(right, np.concatenate([values for _, values in studies.values()]) if studies else [])
    right.set_xlim(0, 1)
    right.set_xlabel("noise quantile q (0 clean, 1 noise)", fontsize=9)
    right.set_ylabel("difficulty (mean 1)", fontsize=9)
    legend(right, lines)
    figure.suptitle(title, fontsize=10)
    return figure
