"""The forest plot: a row for each comparison, an interval and the seeds, and nothing that flattens the rest."""

import math
from dataclasses import replace
from typing import Any

from support.study_data import checked, study_data

from curriculum_search.direction import Direction
from curriculum_search.report.page import StudyData
from curriculum_search.report.page.forest import forest
from curriculum_search.report.page.plot import Plot, looks

DATA = study_data()


def drawn(data: StudyData, direction: Direction = Direction.MINIMIZE) -> Plot:
    names = looks([arm.title for arm in data.arms], "no curriculum")
    return forest(data.arms, data.effects, names, direction=direction, confidence=0.95)


def notes(view: dict[str, Any]) -> str:
    return " ".join(note["text"] for note in view["layout"]["annotations"])


def test_each_metric_has_a_view_with_a_row_for_each_arm_and_the_references_seeds() -> None:
    plot = drawn(DATA)
    assert list(plot.views) == ["fd", "fd_other"]
    for view in plot.views.values():
        checked(view)
        names = view["layout"]["yaxis"]["ticktext"]
        assert len(names) == len(DATA.arms)
        assert names[0].startswith("no curriculum<br>")
        assert "4 seeds, around their mean" in names[0]


def test_the_dots_are_the_seeds_beside_the_mean_that_the_arm_is_compared_with() -> None:
    (dots, *_) = drawn(DATA).views["fd"]["data"]
    assert abs(sum(dots["x"])) < 1e-9
    effect = DATA.effects["fd"][0]
    dots, diamond = drawn(DATA).views["fd"]["data"][1:3]
    values = DATA.arms[1].finals["fd"]
    assert dots["x"] == [value - effect.against_mean for value in values.values()]
    assert [seed for seed, _ in dots["customdata"]] == list(values)
    assert diamond["x"] == [effect.difference]


def test_a_claim_is_filled_and_what_is_not_separable_is_open() -> None:
    symbols = [trace["marker"].get("symbol") for trace in drawn(DATA).views["fd"]["data"] if "error_x" in trace]
    assert symbols == ["diamond", *["diamond-open"] * 4]


def test_the_better_side_is_named_and_shaded() -> None:
    less, more = drawn(DATA).views["fd"], drawn(DATA, Direction.MAXIMIZE).views["fd"]
    assert "← better worse →" in notes(less)
    assert "← worse better →" in notes(more)
    assert less["layout"]["shapes"][0]["x1"] == 0
    assert more["layout"]["shapes"][0]["x0"] == 0


def test_an_arm_far_away_is_at_the_edge_and_leaves_the_others_their_room() -> None:
    far = replace(DATA.effects["fd"][3], difference=500.0, low=400.0, high=600.0)
    effects = {"fd": [*DATA.effects["fd"][:3], far]}
    view = drawn(replace(DATA, effects=effects)).views["fd"]
    assert view["layout"]["xaxis"]["range"][1] < 20
    assert "off scale ▸" in notes(view)
    assert "+500" in notes(view)


def test_without_an_interval_there_are_the_seeds_alone() -> None:
    alone = replace(DATA.effects["fd"][0], difference=None, low=None, high=None, p_value=None, seeds=1)
    view = drawn(replace(DATA, effects={"fd": [alone]})).views["fd"]
    checked(view)
    assert "1 seed: no interval" in notes(view)
    assert not [trace for trace in view["data"] if "error_x" in trace]


def test_what_has_no_bound_no_size_or_no_runs_is_drawn_all_the_same() -> None:
    nothing = replace(DATA.arms[1], finals={"fd": {1: math.nan}})
    endless = replace(DATA.effects["fd"][0], difference=math.inf, low=-math.inf, high=math.inf)
    view = drawn(replace(DATA, arms=[DATA.arms[0], nothing], effects={"fd": [endless]})).views["fd"]
    checked(view)
    assert "+∞" in notes(view)
    assert all(map(math.isfinite, view["layout"]["xaxis"]["range"]))
