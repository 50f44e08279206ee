"""How all figures look: colours that colour-blind readers can tell apart, and no more ink than needed."""

from collections.abc import Iterable, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator

BASELINE_COLOUR = "#222222"
# Okabe & Ito (2008), without their yellow and black.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#7F7F7F")
_LINES = ("-", "--", ":", "-.")


def colours(names: Iterable[str], baseline: str | None) -> dict[str, str]:
    """A colour for every name in its order; the baseline is black wherever it stands."""
    others = [name for name in names if name != baseline]
    given = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(others)}
    return given if baseline is None else {**given, baseline: BASELINE_COLOUR}


def line_styles(names: Iterable[str], baseline: str | None) -> dict[str, str]:
    """A line style for every name, which tells apart names whose colour is the same."""
    others = [name for name in names if name != baseline]
    given = {name: _LINES[(i // len(_COLOURS)) % len(_LINES)] for i, name in enumerate(others)}
    return given if baseline is None else {**given, baseline: "-"}


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, drawn without a display and without pyplot's global state."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def plain(axes: Axes) -> None:
    """A light grid behind the data, and no frame above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def images_axis(axes: Axes, total_images: int) -> None:
    """The clock: images seen, from 0 to `total_images`."""
    axes.set_xlim(0, 1.01 * max(1, total_images))  # room for the last marker
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("images seen", fontsize=9)


def value_axis(axes: Axes, values: Iterable[float]) -> None:
    """Logarithmic where the values span more than a factor of eight and are all positive."""
    spread = list(values)
    if spread and min(spread) > 0 and max(spread) / min(spread) > 8:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def legend(axes: Axes, lines: Sequence[Artist]) -> None:
    """The named lines in this order: inside the axes while they are few, below them where they would hide data."""
    if len(lines) > 5:
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(handles=lines, fontsize=8, frameon=False, loc="outside lower center", ncols=2)
    elif lines:
        axes.legend(handles=lines, fontsize=8, framealpha=0.85, edgecolor="none", loc="best")
