"""The page as one HTML file: its sections, its style, its plots, and plotly to draw them."""

import html
import json
import math
import time
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from curriculum_search.duration import duration
from curriculum_search.report.page.data import StudyData
from curriculum_search.report.page.sections import Section, sections
from curriculum_search.report.style import BASELINE_COLOUR, COLOURS

_HERE = Path(__file__).parent
#: The colours of arms on a dark page: the same hues, where they are too dark for it lighter.
_ON_DARK = dict(
    zip(COLOURS, ("#3d9be0", "#ef7d33", "#17b890", "#e29bc4", "#f0b429", "#8fd0f5", "#c79285", "#a8a8a8"), strict=True)
)
_BASELINE_ON_DARK = "#f2f2f2"


def page(data: StudyData) -> str:
    """The page of a study."""
    parts = sections(data)
    contents = "".join(f"<li><a href='#{part.name}'>{_e(part.heading)}</a></li>" for part in parts)
    body = "".join(_section(part) for part in parts)
    state = f"<p class='state'>{_e(data.state)}</p>" if data.state else ""
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime())
    return (
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        "<meta name='color-scheme' content='light dark'>\n"
        "<link rel='icon' href='data:,'>\n"
        f"<title>{_e(data.name)}: report</title>\n"
        f"<style>\n{_style()}</style>\n</head>\n<body>\n"
        f"<nav aria-label='contents'><b>{_e(data.name)}</b><ol>{contents}</ol></nav>\n"
        f"<main>\n<header><h1>{_e(data.name)}</h1><p class='facts'>{_facts(data)}</p>{state}</header>\n{body}"
        f"<footer>Made {made} by curriculum-search.</footer>\n</main>\n"
        f"<script type='application/json' id='plots'>{_plots(parts)}</script>\n"
        f"<script>{get_plotlyjs()}</script>\n<script>{(_HERE / 'page.js').read_text()}</script>\n</body>\n</html>\n"
    )


def _section(part: Section) -> str:
    return f"<section id='{part.name}'><h2>{_e(part.heading)}</h2>{part.body}</section>\n"


def _facts(data: StudyData) -> str:
    searched = sum(bool(trial.params) for trial in data.trials)
    seeds = sorted({len(next(iter(arm.finals.values()), {})) for arm in data.arms} - {0})
    images, runs = sum(cost.images for cost in data.costs), sum(cost.runs for cost in data.costs)
    objectives = ", ".join(
        f"{name} ({direction.better} is better)"
        for name, direction in zip(data.objectives, data.directions, strict=True)
    )
    facts = [objectives, f"{searched} trial{'s' * (searched != 1)}"]
    if seeds:
        spread = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        facts.append(f"{len(data.arms)} arms on {spread} fresh seeds")
    facts += [f"{runs:,} runs", f"{images / 1e6:,.3g} M images", duration(3600 * data.hours)]
    return "".join(f"<span>{_e(fact)}</span>" for fact in facts)


def _style() -> str:
    light = {"baseline": BASELINE_COLOUR} | {f"c{i}": colour for i, colour in enumerate(COLOURS)}
    dark = {"baseline": _BASELINE_ON_DARK} | {f"c{i}": _ON_DARK[colour] for i, colour in enumerate(COLOURS)}
    style = (_HERE / "page.css").read_text()
    for name, colours in (("/* light arms */", light), ("/* dark arms */", dark)):
        style = style.replace(name, " ".join(f"--{key}: {value};" for key, value in colours.items()))
    return style


def _plots(parts: list[Section]) -> str:
    plots = [
        {"name": plot.name, "views": [{"title": title, **view} for title, view in plot.views.items()]}
        for part in parts
        for plot in part.plots
    ]
    text = json.dumps(_plain(plots), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")  # so that no name ends the script


def _plain(value: Any) -> Any:
    """Numbers that JSON has, to six digits; what is not finite is left out of a plot."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _e(words: str) -> str:
    return html.escape(words)
