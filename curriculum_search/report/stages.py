"""What a curriculum had unlocked, and when."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curriculum_search.report.style import colours, images_axis, legend, new_figure, plain, stripes

_COLUMNS = 3
_TITLE_CHARACTERS = 38  # of a line above a panel


@dataclass(frozen=True, kw_only=True)
class StageHistory:
    """How one run went through its stages.

    Attributes:
        total_images: of the run's budget.
        edges: [N + 1], of the clusters in the noise quantile q.
        permutation: [N], the clusters in the order of their unlocking.
        switches: (images seen, stage) at the beginning of every stage; in stage n, the first n clusters are unlocked.
        stopped_at: images seen when the run ended, if that was before its budget did.
    """

    total_images: int
    edges: Sequence[float]
    permutation: Sequence[int]
    switches: Sequence[tuple[int, int]]
    stopped_at: int | None = None

    @property
    def end(self) -> int:
        """Images seen when the run ended."""
        return self.total_images if self.stopped_at is None else self.stopped_at

    def unlocked_at(self, place: int) -> int | None:
        """Images seen when the cluster at `place` in the order was unlocked; None if it never was."""
        return next((images for images, stage in self.switches if stage > place), None)


def unlocked(
    histories: Mapping[str, Sequence[StageHistory]], *, title: str = "", baseline: str | None = None
) -> Figure:
    """The share of the clusters that is unlocked, against images seen: one step line a run, one colour an arm.

    Runs that did not come to their first stage are left out.  Arms with the same pacing lie on each other.
    """
    colour = colours(histories, baseline)
    begun = {name: [run for run in runs if run.switches] for name, runs in histories.items()}
    histories = {name: runs for name, runs in begun.items() if runs}
    style = stripes(histories)
    figure = new_figure(8.0, 4.2)
    axes = figure.subplots()
    lines = []
    for name, runs in histories.items():
        for i, run in enumerate(runs):
            images = [at for at, _ in run.switches] + [run.end]
            shares = [100 * stage / len(run.permutation) for _, stage in run.switches]
            drawn = axes.step(
                images,
                [*shares, shares[-1]],
                where="post",
                color=colour[name],
                linestyle=style[name],
                linewidth=1.8 if len(runs) == 1 else 1.0,
                alpha=1.0 if len(runs) == 1 else 0.6,
                label=f"{name} ({len(runs)})" if len(runs) > 1 else name,
            )
            lines += drawn if i == 0 else []
            if run.stopped_at is not None:
                axes.plot(run.end, shares[-1], marker="x", markersize=4, color=colour[name], alpha=0.7)
    plain(axes)
    images_axis(axes, max((run.total_images for runs in histories.values() for run in runs), default=1))
    axes.set_ylim(0, 103)
    axes.yaxis.set_major_formatter("{x:.0f} %")
    axes.set_ylabel("noise-level clusters unlocked", fontsize=9)
    axes.set_title(title, fontsize=10, loc="left")
    legend(axes, lines)
    return figure


def unlocked_levels(histories: Mapping[str, StageHistory], *, title: str = "") -> Figure:
    """Which noise levels are unlocked, against images seen: a panel for every arm, the earlier the darker."""
    rows = max(1, -(-len(histories) // _COLUMNS))
    figure = new_figure(9.0, 0.5 + 2.3 * rows)
    grid = figure.subplots(rows, min(_COLUMNS, max(1, len(histories))), squeeze=False, sharey=True)
    for axes, (name, history) in zip(grid.flat, histories.items(), strict=False):
        _panel(axes, name, history)
    for axes in grid.flat[len(histories) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("noise quantile q", fontsize=8)
    for i, axes in enumerate(grid.flat[: len(histories)]):
        if i + _COLUMNS < len(histories):
            axes.set_xlabel("")
    figure.suptitle(title, fontsize=10)
    return figure


def _panel(axes: Axes, name: str, history: StageHistory) -> None:
    num_clusters = len(history.permutation)
    shades = matplotlib.colormaps["viridis"]
    for place, cluster in enumerate(history.permutation):
        start = history.unlocked_at(place)
        if start is not None:
            low, high = history.edges[cluster], history.edges[cluster + 1]
            axes.fill_between(
                [start, history.end],
                low,
                high,
                color=shades(0.1 + 0.85 * (place + 0.5) / num_clusters),
                linewidth=0.4,
                edgecolor="white",
            )
    plain(axes)
    images_axis(axes, history.total_images)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0 clean", "0.5", "1 noise"])
    axes.set_title(textwrap.fill(name, _TITLE_CHARACTERS), fontsize=8.5, loc="left")
    axes.tick_params(labelsize=7)
