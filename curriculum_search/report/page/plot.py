"""What all plots of a page share: how they look, and colours that follow the reader's light or dark mode.

A plot is what plotly draws: a dictionary of ``data`` and ``layout``.  A colour in it is a name such as ``$ink``, or
``$c0/0.2`` for a fifth of it, which the page's style sheet gives a value (`page.js`).
"""

import html
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curriculum_search.report.style import BASELINE_COLOUR, COLOURS, colours, line_styles

Spec = dict[str, Any]

_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
#: How a run ended, as the shape of its mark.
SYMBOLS = {
    "finished": "circle",
    "stopped": "x-thin-open",
    "diverged": "triangle-up-open",
    "failed": "square-open",
    "lost": "square-open",
    "under way": "circle-open-dot",
}
#: Of a density: nothing at its low end, so that it fades into the page in either mode.
SHADES = [[0.0, "$shade0"], [0.25, "$shade1"], [0.5, "$shade2"], [0.75, "$shade3"], [1.0, "$shade4"]]
#: Cividis, which looks nearly the same to the colour-blind: from good (dark in light mode) to bad.
VALUES = [[0.0, "$value0"], [0.33, "$value1"], [0.66, "$value2"], [1.0, "$value3"]]


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A plot on the page.

    Attributes:
        name: unique on the page.
        label: what it shows, for whoever does not see it.
        height: in pixels.
        views: title of each view to what plotly draws; with several, the reader chooses.
        least_width: in pixels, below which it is scrolled.
    """

    name: str
    label: str
    height: int
    views: Mapping[str, Spec]
    least_width: int = 0


@dataclass(frozen=True)
class Look:
    """Colour and dash of a line."""

    colour: str
    dash: str

    def faded(self, share: float) -> str:
        """The colour, with so much of it."""
        return f"{self.colour}/{share:g}"


def looks(names: Collection[str], baseline: str | None) -> dict[str, Look]:
    """The same colours and dashes as in the study's other figures, by their names in the style sheet."""
    tokens = {BASELINE_COLOUR: "$baseline"} | {colour: f"$c{i}" for i, colour in enumerate(COLOURS)}
    styles = line_styles(names, baseline)
    return {name: Look(tokens[c], _DASHES[styles[name]]) for name, c in colours(names, baseline).items()}


def spec(data: Sequence[Spec], **layout: Any) -> Spec:
    """A plot with the page's own layout, and what is given besides."""
    return {"data": list(data), "layout": _merged(_LAYOUT, layout)}


def axis(title: str = "", **fields: Any) -> Spec:
    """An axis with its title."""
    return _merged(_AXIS, {"title": {"text": title}, **fields})


def images_axis(total_images: int, **fields: Any) -> Spec:
    """The clock: images seen, from 0 on."""
    return axis("images seen", **{"range": [0, 1.02 * max(total_images, 1)], "tickformat": "~s", **fields})


def value_axis(title: str, values: Iterable[float], **fields: Any) -> Spec:
    """Logarithmic where the values span more than a factor of eight and are all positive."""
    spread = [value for value in values if math.isfinite(value)]
    if spread and min(spread) > 0 and max(spread) / min(spread) > 8:
        low, high = math.log10(min(spread)), math.log10(max(spread))
        pad = 0.05 * (high - low)
        fields = {"type": "log", "dtick": "D2" if high - low < 3 else 1, "range": [low - pad, high + pad], **fields}
        title += ", logarithmic"
    return axis(title, **fields)


def text(words: object) -> str:
    """Words for a plot, which takes some characters for marks."""
    return html.escape(str(words), quote=False)


def wrapped(words: str, width: int = 30) -> str:
    """A name over as many lines as it needs."""
    lines = [""]
    for word in text(words).split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(lines)


def percent(share: float, *, digits: int = 0, signed: bool = False) -> str:
    """A share in words, as in "95 %"."""
    return f"{100 * share:{'+' if signed else ''}.{digits}f} %".replace("-", "−")


def number(value: float | None, *, signed: bool = False) -> str:
    """Three digits, with a minus that is as wide as a plus."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "+∞" if value > 0 else "−∞"
    return f"{value + 0.0:{'+' if signed else ''}.3g}".replace("-", "−")


_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_AXIS: Spec = {
    "gridcolor": "$grid",
    "linecolor": "$line",
    "tickcolor": "$line",
    "zeroline": False,
    "automargin": True,
    "title": {"standoff": 8, "font": {"size": 13, "color": "$muted"}},
    "tickfont": {"size": 12, "color": "$muted"},
}
_LAYOUT: Spec = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"family": _FONT, "size": 13, "color": "$ink"},
    "margin": {"l": 10, "r": 16, "t": 16, "b": 10},
    "hovermode": "closest",
    "hoverlabel": {"bgcolor": "$card", "bordercolor": "$line", "font": {"color": "$ink", "size": 12}, "align": "left"},
    "legend": {
        "orientation": "h",
        "yref": "container",
        "y": 0,
        "yanchor": "bottom",
        "x": 0,
        "font": {"size": 12},
        "bgcolor": "rgba(0,0,0,0)",
    },
}


def _merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> Spec:
    result = dict(base)
    for name, value in more.items():
        known = result.get(name)
        result[name] = _merged(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return result
