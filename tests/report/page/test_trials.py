"""The plots of a search."""

from dataclasses import replace
from typing import Any

import pytest
from support.study_data import ORDERS, checked, study_data

from curriculum_search.report.page import Parameter, Trial
from curriculum_search.report.page.plot import looks
from curriculum_search.report.page.trials import over_time, parallel, pareto, short, stopped

DATA = study_data()
LOOKS = looks(ORDERS, "no curriculum")
OBJECTIVES, DIRECTIONS = DATA.objectives, DATA.directions


def dimension(trials: list[Trial], parameter: Parameter) -> dict[str, Any]:
    plot = parallel(trials, [parameter], OBJECTIVES, DIRECTIONS)
    assert plot is not None
    checked(plot.views[""])
    found: dict[str, Any] = plot.views[""]["data"][0]["dimensions"][0]
    return found


def trial(value: float, **params: object) -> Trial:
    return replace(DATA.trials[3], params=params, values=(value, 1.0), outcome="finished")


def test_a_line_is_a_finished_trial_from_its_parameters_to_its_objectives() -> None:
    plot = parallel(DATA.trials, DATA.parameters, OBJECTIVES, DIRECTIONS)
    assert plot is not None
    checked(plot.views[""])
    (lines,) = plot.views[""]["data"]
    finished = [trial for trial in DATA.trials if trial.values and trial.params]
    assert [d["label"] for d in lines["dimensions"]] == [
        *("learning_rate", "order", "num_clusters"),
        *("<b>fd</b>", "<b>images_to_baseline</b>"),
    ]
    assert all(len(d["values"]) == len(finished) for d in lines["dimensions"])
    best = min(range(len(finished)), key=lambda i: finished[i].values[0])
    assert lines["line"]["color"][best] == 0


def test_a_parameter_that_a_trial_does_not_have_lies_apart() -> None:
    axis = dimension([trial(1.0, a=4.0), trial(2.0, b=1)], Parameter(path="a", low=2.0, high=12.0))
    low, high = axis["range"]
    assert (low, high) == pytest.approx((2.0 - 1.4, 12.0))
    assert axis["values"] == [4.0, low]
    assert dict(zip(axis["tickvals"], axis["ticktext"], strict=True))[low] == "none"


def test_choices_of_any_kind_have_a_place_each() -> None:
    choices = ("none", None, [1, 2], True)
    trials = [trial(float(i), a=choice) for i, choice in enumerate(choices)]
    axis = dimension(trials, Parameter(path="a", choices=choices))
    assert axis["values"] == [0, 1, 2, 3]
    assert axis["ticktext"] == ["none", "None", "[1, 2]", "True"]


def test_a_logarithmic_parameter_is_spread_by_its_logarithm() -> None:
    axis = dimension([trial(1.0, a=1e-2)], Parameter(path="a", low=1e-3, high=1e-1, log=True))
    assert axis["values"] == [-2.0]
    assert axis["ticktext"] == ["0.001", "0.00316", "0.01", "0.0316", "0.1"]


def test_without_a_finished_trial_there_are_no_lines() -> None:
    assert parallel([], DATA.parameters, OBJECTIVES, DIRECTIONS) is None
    assert parallel(DATA.trials, [], OBJECTIVES, DIRECTIONS) is None


def test_over_time_every_run_is_where_it_ended_and_the_best_so_far_never_gets_worse() -> None:
    plot = over_time(DATA.trials, LOOKS, "fd", DIRECTIONS[0])
    assert plot is not None
    checked(plot.views[""])
    *groups, best = plot.views[""]["data"]
    assert sum(len(group["x"]) for group in groups) == len(DATA.trials)
    assert best["y"] == sorted(best["y"], reverse=True)
    assert over_time([], LOOKS, "fd", DIRECTIONS[0]) is None


def test_a_cross_is_where_a_run_was_stopped() -> None:
    plot = stopped(DATA.trials, LOOKS, "fd")
    assert plot is not None
    checked(plot.views[""])
    marks = [trace for trace in plot.views[""]["data"] if trace["mode"] == "markers"]
    ended = [trial for trial in DATA.trials if trial.outcome in ("stopped", "diverged")]
    assert sum(len(mark["x"]) for mark in marks) == len(ended)
    assert stopped([], LOOKS, "fd") is None


def test_the_pareto_set_is_large_and_named() -> None:
    plot = pareto(DATA.trials, LOOKS, OBJECTIVES, DIRECTIONS)
    assert plot is not None
    checked(plot.views["images_to_baseline"])
    named = [trace["text"] for trace in plot.views["images_to_baseline"]["data"] if "text" in trace["mode"]]
    assert sorted(name for group in named for name in group) == ["trial 3", "trial 6"]
    assert pareto(DATA.trials, LOOKS, OBJECTIVES[:1], DIRECTIONS[:1]) is None


def test_paths_are_shown_without_what_goes_without_saying() -> None:
    assert short("curriculum.order.kind") == "order"
    assert short("curriculum.pacing.end_share") == "pacing.end_share"
    assert short("model.depth") == "model.depth"
