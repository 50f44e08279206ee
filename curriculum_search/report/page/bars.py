"""What mattered, and what each change brought."""

import statistics

from curriculum_search.direction import Direction
from curriculum_search.report.page.data import Importance, PathToWinner
from curriculum_search.report.page.plot import Plot, Spec, axis, number, spec, text, value_axis, wrapped
from curriculum_search.report.page.trials import short


def importance(name: str, table: Importance) -> Plot:
    """The share of each parameter, the most important on top, one view for each objective."""
    views = {}
    for objective, shares in table.shares.items():
        ranked = sorted(shares.items(), key=lambda item: item[1])
        views[objective] = spec(
            [
                {
                    "type": "bar",
                    "orientation": "h",
                    "y": [text(short(path)) for path, _ in ranked],
                    "x": [100 * share for _, share in ranked],
                    "text": [f"{100 * share:.0f} %" for _, share in ranked],
                    "textposition": "outside",
                    "cliponaxis": False,
                    "marker": {"color": "$accent"},
                    "customdata": [text(path) for path, _ in ranked],
                    "hovertemplate": "%{customdata}: %{x:.1f} %<extra></extra>",
                }
            ],
            xaxis=axis("share of the differences between trials", range=[0, 108], ticksuffix=" %"),
            yaxis=axis(tickfont={"color": "$ink", "size": 12}, showgrid=False),
            bargap=0.35,
        )
    rows = max(len(shares) for shares in table.shares.values())
    return Plot(name=name, label=table.heading, height=84 + 30 * rows, views=views)


def ablation(path: PathToWinner, objective: str, direction: Direction) -> Plot:
    """The mean of each step with its runs, from ordinary training at the top down to the winner."""
    steps = [step for step in path.steps if step.values]
    means = [statistics.fmean(step.values) for step in steps]
    errors = [
        statistics.stdev(step.values) / len(step.values) ** 0.5 if len(step.values) > 1 else 0.0 for step in steps
    ]
    places = [-i for i in range(len(steps))]
    dots: Spec = {
        "type": "scatter",
        "mode": "markers",
        "x": [value for step in steps for value in step.values],
        "y": [place - 0.2 for place, step in zip(places, steps, strict=True) for _ in step.values],
        "marker": {"size": 6, "color": "$accent/0.4"},
        "hovertemplate": "%{x:.4g}<extra></extra>",
    }
    line: Spec = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": means,
        "y": places,
        "error_x": {"type": "data", "array": errors, "color": "$accent", "thickness": 1.6, "width": 4},
        "line": {"color": "$accent/0.5", "width": 1.4},
        "marker": {"size": 11, "color": "$accent"},
        "customdata": [text(step.change) for step in steps],
        "hovertemplate": "%{customdata}: %{x:.4g}<extra></extra>",
    }
    notes = [
        {
            "xref": "paper",
            "x": 1,
            "xanchor": "left",
            "xshift": 8,
            "y": place,
            "text": f"{number(step.difference, signed=True)}"
            + (f" ± {number(step.error)}" if step.error is not None else ""),
            "showarrow": False,
            "font": {"size": 12},
        }
        for place, step in zip(places, steps, strict=True)
        if step.difference is not None
    ]
    values = [value for step in steps for value in step.values]
    view = spec(
        [dots, line],
        annotations=notes,
        xaxis=value_axis(f"{text(objective)}, {direction.better} is better", values),
        yaxis=axis(
            tickvals=places,
            ticktext=[wrapped(step.change, 36) for step in steps],
            tickfont={"color": "$ink", "size": 12},
            showgrid=False,
            range=[-len(steps) + 0.4, 0.6],
        ),
        showlegend=False,
        margin={"r": 110},
    )
    return Plot(
        name="ablation",
        label=f"{objective} of each step from ordinary training to the winner",
        height=90 + 44 * len(steps),
        views={"": view},
        least_width=560,
    )
