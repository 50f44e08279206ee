"""The search: what was tried, how it came out, when, and what was stopped."""

import itertools
import math
from collections.abc import Mapping, Sequence

from curriculum_search.direction import Direction
from curriculum_search.report.page.data import Parameter, Trial
from curriculum_search.report.page.plot import (
    SYMBOLS,
    VALUES,
    Look,
    Plot,
    Spec,
    axis,
    images_axis,
    number,
    spec,
    text,
    value_axis,
)

_MISSING = -0.14  # where a parameter that a trial does not have lies, in shares of its axis


def parallel(
    trials: Sequence[Trial],
    parameters: Sequence[Parameter],
    objectives: Sequence[str],
    directions: Sequence[Direction],
) -> Plot | None:
    """Each finished trial as a line through its parameters to its objectives; None where there are none."""
    done = [trial for trial in trials if trial.values and trial.params]
    if not done or not parameters:
        return None
    deciding = [trial.values[0] for trial in done]
    costs = [-directions[0].sign * value for value in deciding]
    had = [parameter for parameter in parameters if any(parameter.path in trial.params for trial in done)]
    dimensions = [_dimension(parameter, done) for parameter in had]
    dimensions += [_objective(name, [t.values[i] for t in done]) for i, name in enumerate(objectives)]
    ranks = _ranks(costs)
    view = spec(
        [
            {
                "type": "parcoords",
                "line": {"color": ranks, "colorscale": VALUES, "cmin": 0, "cmax": max(len(done) - 1, 1)},
                "dimensions": dimensions,
                "labelangle": -18,
                "labelside": "top",
                "labelfont": {"size": 12, "color": "$ink"},
                "tickfont": {"size": 11, "color": "$ink"},
                "rangefont": {"size": 10, "color": "rgba(0,0,0,0)"},
                "unselected": {"line": {"color": "$grid", "opacity": 0.4}},
            }
        ],
        margin={"l": 70, "r": 96, "t": 84, "b": 22},
    )
    return Plot(
        name="parallel",
        label=f"Parallel coordinates of {len(done)} trials: {', '.join(p.path for p in had)}",
        height=390,
        views={"": view},
        least_width=84 * (len(dimensions) + 1),
    )


def over_time(trials: Sequence[Trial], looks: Mapping[str, Look], objective: str, direction: Direction) -> Plot | None:
    """The last value of each run of the search against when it ended, and the best so far; None without any."""
    told = [trial for trial in trials if trial.ended is not None and trial.curve]
    if not told:
        return None
    unit, per = _unit(max(trial.ended or 0.0 for trial in told))
    data: list[Spec] = []
    for (order, outcome), group in _grouped(told):
        look = looks[order]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": text(order if outcome == "finished" else f"{order}, {outcome}"),
                "x": [(trial.ended or 0.0) / per for trial in group],
                "y": [_last(trial) for trial in group],
                "marker": {
                    "size": 10 if len(told) < 200 else 6,
                    "symbol": SYMBOLS[outcome],
                    "color": look.colour,
                    "line": {"width": 1.6, "color": look.colour},
                },
                "text": [_hover(trial, objective) for trial in group],
                "hovertemplate": f"%{{text}}<br>after %{{x:.2f}} {unit}<extra></extra>",
            }
        )
    data.append(_best_so_far(told, per, direction))
    shown = [_last(trial) for trial in told if trial.outcome in ("finished", "under way")] or [
        _last(trial) for trial in told
    ]
    return Plot(
        name="over-time",
        label=f"{objective} of each run of the search when it ended",
        height=380,
        views={
            "": spec(
                data,
                xaxis=axis(f"{unit} since the first run began", rangemode="tozero"),
                yaxis=value_axis(text(objective), _robust(shown)),
                margin={"b": 70},
            )
        },
    )


def stopped(trials: Sequence[Trial], looks: Mapping[str, Look], objective: str) -> Plot | None:
    """Every learning curve of the search, with a cross where a run was stopped; None without any."""
    told = [trial for trial in trials if trial.curve]
    if not told:
        return None
    data: list[Spec] = []
    for (order, outcome), group in _grouped(told):
        look = looks[order]
        x: list[int | None] = []
        y: list[float | None] = []
        hovers: list[str] = []
        for trial in group:
            x += [*(images for images, _ in trial.curve), None]
            y += [*(value for _, value in trial.curve), None]
            hovers += [text(trial.name)] * len(trial.curve) + [""]
        ended = outcome in ("finished", "under way")
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": text(f"{order}, {outcome} ({len(group)})"),
                "legendgroup": f"{order} {outcome}",
                "x": x,
                "y": y,
                "line": {"color": look.faded(0.75 if ended else 0.4), "width": 1.6 if ended else 1.1},
                "text": hovers,
                "hovertemplate": "<b>%{text}</b><br>%{x:,} images: %{y:.4g}<extra></extra>",
                "connectgaps": False,
            }
        )
        if not ended:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "legendgroup": f"{order} {outcome}",
                    "showlegend": False,
                    "x": [trial.curve[-1][0] for trial in group],
                    "y": [_last(trial) for trial in group],
                    "marker": {
                        "size": 9,
                        "symbol": SYMBOLS[outcome],
                        "color": look.colour,
                        "line": {"width": 1.8, "color": look.colour},
                    },
                    "hoverinfo": "skip",
                }
            )
    values = [value for trial in told for _, value in trial.curve]
    return Plot(
        name="stopped",
        label=f"Learning curves of the search; crosses are where runs were stopped ({objective})",
        height=380,
        views={
            "": spec(
                data,
                xaxis=images_axis(max(trial.total_images for trial in told)),
                yaxis=value_axis(text(objective), values),
                margin={"b": 70},
            )
        },
    )


def pareto(
    trials: Sequence[Trial], looks: Mapping[str, Look], objectives: Sequence[str], directions: Sequence[Direction]
) -> Plot | None:
    """The deciding objective against each other one; large: the Pareto set.  None with one objective or no values."""
    done = [trial for trial in trials if trial.values]
    if len(objectives) < 2 or not done:
        return None
    views = {}
    for other in range(1, len(objectives)):
        data: list[Spec] = []
        for order, of_order in _by_order(done):
            for best in (False, True):
                if group := [trial for trial in of_order if trial.best is best]:
                    look = looks[order]
                    data.append(
                        {
                            "type": "scatter",
                            "mode": "markers+text" if best else "markers",
                            "name": text(f"{order}, Pareto set" if best else order),
                            "x": [trial.values[other] for trial in group],
                            "y": [trial.values[0] for trial in group],
                            "text": [text(trial.name.partition(":")[0]) for trial in group],
                            "textposition": "top right",
                            "textfont": {"size": 11},
                            "marker": {"size": 14 if best else 7, "color": look.faded(1.0 if best else 0.45)},
                            "customdata": [_hover(trial, objectives[0]) for trial in group],
                            "hovertemplate": "%{customdata}<br>"
                            + f"{text(objectives[other])}: %{{x:.4g}}<extra></extra>",
                        }
                    )
        sides = [f"{text(objectives[i])}, {directions[i].better} is better" for i in (other, 0)]
        views[objectives[other]] = spec(
            data,
            xaxis=value_axis(sides[0], [trial.values[other] for trial in done]),
            yaxis=value_axis(sides[1], [trial.values[0] for trial in done]),
            margin={"b": 70},
        )
    return Plot(name="pareto", label=f"Pareto set of {', '.join(objectives)}", height=430, views=views)


def short(path: str) -> str:
    """A parameter's dotted path without what goes without saying."""
    return path.removeprefix("curriculum.").removeprefix("training.").removesuffix(".kind")


def _dimension(parameter: Parameter, trials: Sequence[Trial]) -> Spec:
    label = text(short(parameter.path))
    values = [trial.params.get(parameter.path) for trial in trials]
    some_missing = any(parameter.path not in trial.params for trial in trials)
    if parameter.choices:
        places = {repr(choice): place for place, choice in enumerate(parameter.choices)}
        last = max(len(places) - 1, 1)
        known = [
            places.get(repr(value), _MISSING * last) if parameter.path in trial.params else _MISSING * last
            for trial, value in zip(trials, values, strict=True)
        ]
        ticks = {float(place): text(str(choice)) for place, choice in enumerate(parameter.choices)}
        low, high = 0.0, float(last)
    else:
        log = parameter.log and parameter.low > 0
        low, high = (math.log10(parameter.low), math.log10(parameter.high)) if log else (parameter.low, parameter.high)
        high = high if high > low else low + 1.0
        known = []
        for value in values:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            place = (math.log10(float(value)) if log else float(value)) if is_number else None  # type: ignore[arg-type]
            known.append(low + _MISSING * (high - low) if place is None else place)
        steps = [low + share * (high - low) for share in (0, 0.25, 0.5, 0.75, 1)]
        ticks = {step: f"{10**step if log else step:.3g}" for step in steps}
    if some_missing:
        ticks[low + _MISSING * (high - low)] = "none"
        low += _MISSING * (high - low)
    return {
        "label": label,
        "values": known,
        "range": [low, high],
        "tickvals": list(ticks),
        "ticktext": list(ticks.values()),
    }


def _objective(name: str, values: Sequence[float]) -> Spec:
    low, high = min(values), max(values)
    high = high if high > low else low + (abs(low) or 1.0) * 1e-3
    steps = [low + share * (high - low) for share in (0, 0.25, 0.5, 0.75, 1)]
    return {
        "label": f"<b>{text(name)}</b>",
        "values": list(values),
        "range": [low, high],
        "tickvals": steps,
        "ticktext": [f"{step:.3g}" for step in steps],
    }


def _ranks(costs: Sequence[float]) -> list[int]:
    """The place of each from the best: a few very bad ones would else leave one colour to all others."""
    places = {cost: place for place, cost in reversed(list(enumerate(sorted(costs))))}
    return [places[cost] for cost in costs]


def _best_so_far(trials: Sequence[Trial], per: float, direction: Direction) -> Spec:
    done = sorted((t for t in trials if t.outcome == "finished"), key=lambda trial: trial.ended or 0.0)
    best = list(itertools.accumulate((_last(t) for t in done), max if direction.sign > 0 else min))
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [(trial.ended or 0.0) / per for trial in done],
        "y": best,
        "line": {"color": "$muted", "width": 1.6, "shape": "hv"},
        "hoverinfo": "skip",
    }


def _grouped(trials: Sequence[Trial]) -> list[tuple[tuple[str, str], list[Trial]]]:
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        groups.setdefault((trial.order, trial.outcome), []).append(trial)
    return list(groups.items())


def _by_order(trials: Sequence[Trial]) -> list[tuple[str, list[Trial]]]:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.order, []).append(trial)
    return list(groups.items())


def _last(trial: Trial) -> float:
    return trial.curve[-1][1]


def _hover(trial: Trial, objective: str) -> str:
    words = f"<b>{text(trial.name)}</b>, {trial.outcome} at {trial.curve[-1][0]:,} images" if trial.curve else ""
    words += f"<br>{text(objective)}: {number(_last(trial))}" if trial.curve else ""
    for path, value in trial.params.items():
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)
        words += f"<br>{text(short(path))} = {text(shown)}"
    return words


def _unit(seconds: float) -> tuple[str, float]:
    return ("minutes", 60.0) if seconds < 3 * 3600 else ("hours", 3600.0) if seconds < 3 * 86400 else ("days", 86400.0)


def _robust(values: Sequence[float]) -> list[float]:
    """Without the few that are far above all others, so that the axis need not be logarithmic for their sake."""
    good = sorted(value for value in values if math.isfinite(value))
    return good[: max(1, math.ceil(0.98 * len(good)))]
