"""Convergence: means inside bands, where all seeds have a value."""

from dataclasses import replace

from support.study_data import checked, study_data

from curriculum_search.report.page import Arm
from curriculum_search.report.page.curves import convergence, plotted_metrics
from curriculum_search.report.page.plot import Plot, looks

ARMS = study_data().arms


def drawn(arms: list[Arm]) -> Plot:
    return convergence(arms, looks([arm.title for arm in arms], "no curriculum"), ["fd"], total_images=64_000)


def test_a_line_is_the_mean_and_its_band_goes_from_the_lowest_to_the_highest_seed() -> None:
    arm = replace(ARMS[0], curves={"fd": {1: [(10, 4.0), (20, 2.0)], 2: [(10, 6.0), (20, 3.0)]}})
    view = drawn([arm]).views["fd"]
    checked(view)
    band, line = view["data"]
    assert (band["x"], band["y"]) == ([10, 20, 20, 10], [6.0, 3.0, 2.0, 4.0])
    assert (line["x"], line["y"]) == ([10, 20], [5.0, 2.5])
    assert line["name"] == "no curriculum (2 seeds): 2.5 after 20 images"
    assert view["layout"]["shapes"][0]["y0"] == 2.5


def test_a_run_under_way_does_not_bend_the_mean() -> None:
    arm = replace(ARMS[0], curves={"fd": {1: [(10, 4.0), (20, 2.0)], 2: [(10, 6.0)]}})
    assert drawn([arm]).views["fd"]["data"][1]["x"] == [10]
    apart = replace(ARMS[0], curves={"fd": {1: [(10, 4.0), (20, 2.0)], 2: [(15, 6.0)]}})
    assert drawn([apart]).views["fd"]["data"][1]["y"] == [4.0, 2.0]


def test_one_seed_has_no_band() -> None:
    view = drawn([replace(ARMS[0], curves={"fd": {1: [(10, 4.0), (20, 2.0)]}})]).views["fd"]
    assert len(view["data"]) == 1
    assert "1 seed)" in view["data"][0]["name"]
    whole = drawn([replace(ARMS[0], curves={"fd": {1: [(10, 4.0), (64_000, 2.0)]}})]).views["fd"]
    assert whole["data"][0]["name"] == "no curriculum (1 seed): 2"


def test_of_many_arms_the_baselines_wait_in_the_legend() -> None:
    arms = [*ARMS, *(replace(ARMS[-1], title=f"more {i}") for i in range(14))]
    hidden = {
        trace["name"].split(" (")[0]
        for trace in drawn(arms).views["fd"]["data"]
        if trace.get("visible") and trace.get("name")
    }
    assert "no curriculum" not in hidden
    assert "trial 3: hard to easy" not in hidden
    assert len(hidden) == 17


def test_the_axis_is_logarithmic_where_needed() -> None:
    assert drawn(list(ARMS)).views["fd"]["layout"]["yaxis"]["type"] == "log"


def test_metrics_are_those_of_the_study_and_the_losses_that_have_a_curve() -> None:
    arm = replace(ARMS[0], curves={name: {1: [(1, 1.0)]} for name in ("fd", "images_per_second", "val_loss")})
    assert plotted_metrics([arm], ["fd", "fd_other"]) == ["fd", "val_loss"]
