"""The effect of each arm: a difference with its interval, and each seed's own value."""

import math
from collections.abc import Mapping, Sequence

from curriculum_search.direction import Direction
from curriculum_search.report.page.data import Arm, Effect
from curriculum_search.report.page.plot import Look, Plot, Spec, axis, number, percent, spec, text, wrapped

_ROW = 46  # pixels
#: What lies so many times as far away as the leaders and their controls is off the scale, lest it flatten the others.
_FAR = 4.0


def forest(
    arms: Sequence[Arm],
    effects: Mapping[str, Sequence[Effect]],
    looks: Mapping[str, Look],
    *,
    direction: Direction,
    confidence: float,
) -> Plot:
    """One row for each comparison, the reference's own seeds on top; one view for each metric.

    Args:
        arms: the reference first.
        effects: metric to its comparisons.
        looks: title of an arm to its look.
        direction: whether less or more is better.
        confidence: of the intervals.
    """
    views = {metric: _view(metric, arms, of_metric, looks, direction) for metric, of_metric in effects.items()}
    rows = 1 + max(len(of_metric) for of_metric in effects.values())
    return Plot(
        name="effects",
        label=f"Forest plot: the difference of each arm from {arms[0].title}, with {percent(confidence)} intervals",
        height=110 + _ROW * rows,
        views=views,
        least_width=640,
    )


def _view(
    metric: str, arms: Sequence[Arm], effects: Sequence[Effect], looks: Mapping[str, Look], direction: Direction
) -> Spec:
    by_title = {arm.title: arm for arm in arms}
    reference = arms[0]
    ends = [value for value in reference.finals.get(metric, {}).values() if math.isfinite(value)]
    own = Effect(
        name=reference.title,
        arm=reference.title,
        against=reference.title,
        against_mean=sum(ends) / len(ends) if ends else math.nan,
        seeds=len(ends),
    )
    rows = [own, *effects]
    low, high = _range(rows, by_title, metric)
    data: list[Spec] = []
    notes: list[Spec] = []
    for place, effect in enumerate(rows):
        y = -place
        look = looks[effect.arm]
        data += _row(y, effect, by_title[effect.arm].finals.get(metric, {}), look, is_reference=place == 0)
        notes.append(_numbers(y, effect, is_reference=place == 0))
        if effect.difference is not None and not low <= effect.difference <= high:
            notes.append(_off_scale(y, effect.difference > high, look))
    wins_low = direction.sign < 0
    better, worse = ("← better", "worse →") if wins_low else ("better →", "← worse")
    left, right = (better, worse) if wins_low else (worse, better)
    notes += [_side(left, 0.0, "left"), _side(right, 1.0, "right")]
    return spec(
        data,
        shapes=[
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": low if wins_low else 0,
                "x1": 0 if wins_low else high,
                "y0": 0,
                "y1": 1,
                "fillcolor": "$better/0.07",
                "line": {"width": 0},
                "layer": "below",
            },
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": 0,
                "x1": 0,
                "y0": 0,
                "y1": 1,
                "line": {"color": "$muted", "width": 1.2},
                "layer": "below",
            },
        ],
        annotations=notes,
        xaxis=axis(f"difference in {text(metric)}, {direction.better} is better", range=[low, high], nticks=9),
        yaxis=axis(
            tickvals=[-place for place in range(len(rows))],
            ticktext=[_name(effect, place == 0) for place, effect in enumerate(rows)],
            tickfont={"size": 12.5, "color": "$ink"},
            range=[-len(rows) + 0.45, 0.55],
            showgrid=False,
            ticklen=0,
            fixedrange=True,
        ),
        showlegend=False,
        margin={"t": 34, "r": 196, "b": 8},
    )


def _row(y: int, effect: Effect, finals: Mapping[int, float], look: Look, *, is_reference: bool) -> list[Spec]:
    good = {seed: value for seed, value in finals.items() if math.isfinite(value)}
    drawn: list[Spec] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [value - effect.against_mean for value in good.values()],
            "y": [y - 0.24] * len(good),
            "marker": {"size": 7, "color": look.faded(0.45), "line": {"width": 0}},
            "customdata": [[seed, value] for seed, value in good.items()],
            "hovertemplate": f"{text(effect.arm)}<br>seed %{{customdata[0]}}: %{{customdata[1]:.4g}} "
            "(%{x:+.3g})<extra></extra>",
        }
    ]
    if effect.difference is None or effect.low is None or effect.high is None or is_reference:
        return drawn
    hover = (
        f"<b>{text(effect.name)}</b><br>against {text(effect.against)}: {number(effect.difference, signed=True)}"
        f"<br>interval {_interval(effect)}<br>"
        + ("claimed" if effect.claimed else "not separable")
        + (f", p = {effect.p_value:.3g}" if effect.p_value is not None else "")
        + f"<br>{effect.seeds} seeds<extra></extra>"
    )
    drawn.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [effect.difference if math.isfinite(effect.difference) else None],
            "y": [y],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [_arm_of(effect.high - effect.difference)],
                "arrayminus": [_arm_of(effect.difference - effect.low)],
                "color": look.colour,
                "thickness": 2.4,
                "width": 5,
            },
            "marker": {
                "size": 13,
                "symbol": "diamond" if effect.claimed else "diamond-open",
                "color": look.colour,
                "line": {"width": 2.2, "color": look.colour},
            },
            "hovertemplate": hover,
        }
    )
    return drawn


def _arm_of(length: float) -> float:
    """Of an interval without a bound, a length that leaves every plot."""
    return length if math.isfinite(length) else 1e9


def _range(rows: Sequence[Effect], arms: Mapping[str, Arm], metric: str) -> tuple[float, float]:
    """What the axis shows: the leaders, their controls and the reference's seeds, and of the others what is near."""
    leading, others = [0.0], [0.0]
    for place, effect in enumerate(rows):
        seeds = [value - effect.against_mean for value in arms[effect.arm].finals.get(metric, {}).values()]
        values = [*seeds, effect.low, effect.high, effect.difference]
        leads = place == 0 or arms[effect.arm].role in ("leader", "control")
        (leading if leads else others).extend(v for v in values if v is not None and math.isfinite(v))
    reach = max(map(abs, leading)) or max(map(abs, others)) or 1.0
    shown = leading + [value for value in others if abs(value) <= _FAR * reach]
    pad = 0.06 * ((max(shown) - min(shown)) or 2.0)
    return min(shown) - pad, max(shown) + pad


def _name(effect: Effect, is_reference: bool) -> str:
    if is_reference:
        return f"{wrapped(effect.name)}<br>{_small(f'{effect.seeds} seeds, around their mean')}"
    return wrapped(effect.name)


def _numbers(y: int, effect: Effect, *, is_reference: bool) -> Spec:
    if is_reference:
        words = f"<b>{number(effect.against_mean)}</b><br>{_small('mean')}"
    elif effect.difference is None:
        words = _small(f"{effect.seeds} seed{'s' * (effect.seeds != 1)}: no interval")
    else:
        share = effect.difference / abs(effect.against_mean) if effect.against_mean else math.nan
        value = number(effect.difference, signed=True)
        value += f" ({percent(share, signed=True)})" if abs(share) < 10 else ""
        words = f"<b>{value}</b>" if effect.claimed else value
        words += f"<br>{_small(f'{_interval(effect)}, {effect.seeds} seeds')}"
    return {
        "xref": "paper",
        "x": 1,
        "xanchor": "left",
        "xshift": 10,
        "y": y,
        "yanchor": "middle",
        "text": words,
        "showarrow": False,
        "align": "left",
        "font": {"size": 12.5},
    }


def _interval(effect: Effect) -> str:
    return f"[{number(effect.low, signed=True)}, {number(effect.high, signed=True)}]"


def _off_scale(y: int, to_the_right: bool, look: Look) -> Spec:
    return {
        "xref": "paper",
        "x": 1 if to_the_right else 0,
        "xanchor": "right" if to_the_right else "left",
        "y": y,
        "text": "off scale ▸" if to_the_right else "◂ off scale",
        "showarrow": False,
        "font": {"size": 12, "color": look.colour},
    }


def _side(words: str, x: float, anchor: str) -> Spec:
    return {
        "xref": "paper",
        "yref": "paper",
        "x": x,
        "xanchor": anchor,
        "y": 1,
        "yanchor": "bottom",
        "text": words,
        "showarrow": False,
        "font": {"size": 12, "color": "$muted"},
    }


def _small(words: str) -> str:
    return f"<span style='font-size:11px'>{words}</span>"
