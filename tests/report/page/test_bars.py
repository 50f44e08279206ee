"""Importances, and the path from ordinary training to the winner."""

import pytest
from support.study_data import checked, study_data

from curriculum_search.direction import Direction
from curriculum_search.report.page.bars import ablation, importance

DATA = study_data()


def test_the_most_important_parameter_is_on_top() -> None:
    plot = importance("importance-0", DATA.importances[0])
    checked(plot.views["fd"])
    (bars,) = plot.views["fd"]["data"]
    assert bars["y"] == ["order", "learning_rate"]
    assert bars["text"] == ["30 %", "70 %"]


def test_a_step_is_its_mean_with_its_runs_and_what_it_brought() -> None:
    assert DATA.path is not None
    plot = ablation(DATA.path, "fd", Direction.MINIMIZE)
    view = plot.views[""]
    checked(view)
    dots, means = view["data"]
    assert dots["x"] == [3.0, 3.2, 2.8, 2.9]
    assert means["x"] == pytest.approx([3.1, 2.85])
    assert [note["text"] for note in view["layout"]["annotations"]] == ["−0.25 ± 0.1"]
    assert len(view["layout"]["yaxis"]["ticktext"]) == 2  # the step that was lost is left out
