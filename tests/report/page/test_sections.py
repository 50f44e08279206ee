"""The sections of a page: all of them, in their order, whatever a study has."""

import html
from dataclasses import replace
from typing import Any

from support.study_data import study_data

from curriculum_search.report import Row
from curriculum_search.report.page import PathToWinner
from curriculum_search.report.page.sections import sections

ORDER = ["verdict", "effects", "convergence", "schedules", "samples", "search", "ablation", "cost", "repeat"]
DATA = study_data()


def bodies(**fields: Any) -> dict[str, str]:
    return {part.name: part.body for part in sections(study_data(**fields))}


def test_sections_come_in_the_order_in_which_they_are_read() -> None:
    parts = sections(DATA)
    assert [part.name for part in parts] == ORDER
    for part in parts:
        assert all(f"id='plot-{plot.name}'" in part.body for plot in part.plots)
    names = [plot.name for part in parts for plot in part.plots]
    assert names[:2] == ["effects", "convergence"]
    assert names[-6:] == ["pareto", "parallel", "importance-0", "over-time", "stopped", "ablation"]
    assert len(set(names)) == len(names)


def test_the_verdict_is_a_headline_and_labelled_lines_with_no_marks_of_its_own() -> None:
    body = bodies()["verdict"]
    assert "<p class='headline'>Trial 3 beats ordinary training: 12 % lower fd" in body
    assert "<dt>Order or exposure</dt><dd>exposure is shown, an order on top is not.</dd>" in body
    assert "How much sooner" not in body  # of which there is nothing to say
    assert "Two of nine runs &lt;failed&gt;." in body
    assert "failures" not in body
    assert "1 run failed" in bodies(failures="1 run failed")["verdict"]


def test_a_study_that_has_nothing_yet_says_what_is_missing() -> None:
    found = bodies(
        arms=[],
        effects={},
        samples=[],
        trials=[],
        parameters=[],
        importances=[],
        pareto="",
        path=None,
        costs=[],
        rows=[],
    )
    assert list(found) == ORDER
    assert "nothing has been confirmed on fresh seeds" in found["effects"]
    assert "No curves yet" in found["convergence"]
    assert "No schedules yet" in found["schedules"]
    assert "No samples" in found["samples"]
    assert "No trials." in found["search"]
    assert "study.ablation_seeds is 0" in found["ablation"]
    assert "plot-" not in "".join(found.values())


def test_an_interval_that_leaves_out_0_without_a_claim_is_explained_where_it_is_seen() -> None:
    words = "An open diamond's interval can leave out 0"
    metric, first = next(iter(DATA.effects.items()))

    def said(*, low: float, high: float, claimed: bool) -> bool:
        effect = replace(first[0], low=low, high=high, claimed=claimed)
        return words in html.unescape(bodies(effects={metric: [effect]})["effects"])

    assert said(low=0.1, high=0.3, claimed=False)
    assert said(low=-0.3, high=-0.1, claimed=False)
    assert not said(low=-0.1, high=0.3, claimed=False)
    assert not said(low=0.1, high=0.3, claimed=True)


def test_a_path_that_does_not_exist_is_a_sentence() -> None:
    assert (
        "No path: the budget" in bodies(path=PathToWinner(sentence="No path: the budget has no runs left."))["ablation"]
    )


def test_samples_of_the_first_seed_are_open_and_the_others_folded() -> None:
    body = bodies()["samples"]
    assert body.count("data:image/png;base64,") == 4 + 4
    assert "<output>after 64,000 of 64,000 images</output>" in body
    assert body.count(" hidden>") == 2
    assert body.index("Seed 1, the first") < body.index("<summary>1 more seed</summary>")
    assert "<details>" not in bodies(samples=DATA.samples[:1])["samples"]


def test_the_search_counts_its_trials_and_says_when_it_cannot_weigh_parameters() -> None:
    body = bodies()["search"]
    assert "22 trials: " in body
    assert "Beside them 2 baseline runs" in body
    few = replace(DATA.importances[0], shares={}, sentence="too few complete trials")
    assert "Too few complete trials" in bodies(importances=[few])["search"]
    assert "plot-importance" not in bodies(importances=[few])["search"]


def test_a_long_table_is_cut_and_says_where_the_rest_is() -> None:
    rows = [Row(group="search", name=f"trial {i}", value=1.0, images=1, train_seconds=None) for i in range(70)]
    body = bodies(rows=rows)["effects"]
    assert body.count("<tr") == 61
    assert "10 more rows are in report.md" in body


def test_cost_is_by_phase_and_in_all() -> None:
    body = bodies()["cost"]
    assert "<tr class=best><td class='word'>all</td><td class='number'>24</td>" in body
    assert "runs held 0.10 GPU-hours" in body
