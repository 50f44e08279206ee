"""How all figures look: colours that colour-blind readers can tell apart, and no more ink than needed."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator

BASELINE_COLOUR = "#222222"
#: Okabe & Ito (2008), without their yellow and black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#7F7F7F")
#: An order of a curriculum looks the same in all figures of all studies.
_OF_ORDER = dict(zip(("easy to hard", "hard to easy", "random", "measured"), COLOURS, strict=False))
_LINES = ("-", "--", ":", "-.")
_STRIPE = 3  # line widths
_LEGEND_CHARACTERS = 48  # of a label, so that two fit beside each other below a figure


def colours(names: Collection[str], baseline: str | None) -> dict[str, str]:
    """A colour for every name: an order's own, else in their order those that are left; the baseline is black wherever
    it stands."""
    return {name: colour for name, (colour, _) in _looks(names, baseline).items()}


def line_styles(names: Collection[str], baseline: str | None) -> dict[str, str]:
    """A line style for every name, which tells apart names whose colour is the same."""
    return {name: line for name, (_, line) in _looks(names, baseline).items()}


def _looks(names: Collection[str], baseline: str | None) -> dict[str, tuple[str, str]]:
    looks = {name: (_OF_ORDER[name], "-") for name in names if name in _OF_ORDER}
    left = [colour for colour in COLOURS if (colour, "-") not in looks.values()]
    others = [name for name in names if name not in looks and name != baseline]
    for i, name in enumerate(others):
        looks[name] = (left[i % len(left)], _LINES[(i // len(left)) % len(_LINES)])
    return looks if baseline is None else {**looks, baseline: (BASELINE_COLOUR, "-")}


def stripes(names: Collection[str]) -> dict[str, Any]:
    """A line style for names whose lines may lie exactly on each other: drawn in this order and equally wide, the first
    is unbroken, and each leaves gaps for those before it to show in."""
    broken = {name: (0, (_STRIPE * (len(names) - i), _STRIPE * i)) for i, name in enumerate(names)}
    return {name: line if line[1][1] else "-" for name, line in broken.items()}


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


def legend_columns(labels: Collection[str]) -> int:
    """Columns of a legend below the axes: two where the longest label leaves room for another."""
    return 2 if max(map(len, labels), default=0) <= _LEGEND_CHARACTERS else 1


def legend(axes: Axes, lines: Sequence[Artist]) -> None:
    """The named lines in this order: inside the axes while they are few, below them where they would hide data."""
    if len(lines) > 5:
        figure = axes.get_figure(root=True)
        assert figure is not None
        columns = legend_columns([str(line.get_label()) for line in lines])
        figure.legend(handles=lines, fontsize=8, frameon=False, loc="outside lower center", ncols=columns)
    elif lines:
        axes.legend(handles=lines, fontsize=8, framealpha=0.85, edgecolor="none", loc="best")
