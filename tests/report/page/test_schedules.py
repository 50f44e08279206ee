"""Noise schedules: shades of density over noise level and images, beside their exposure."""

import math
from dataclasses import replace

from support.study_data import checked, schedule_of, study_data

from curriculum_search.report.page.plot import looks
from curriculum_search.report.page.schedules import scale, schedules

ARMS = study_data().arms[:2]
LOOKS = looks([arm.title for arm in ARMS], "no curriculum")


def test_columns_are_the_stages_and_blank_is_what_was_not_trained() -> None:
    (_, plot), _ = schedules(ARMS, LOOKS)
    checked(plot.views[""])
    heat, bars = plot.views[""]["data"]
    assert heat["x"] == [0, 16_000, 32_000, 48_000, 64_000]
    assert heat["y"] == [0, 0.25, 0.5, 0.75, 1]
    assert heat["z"][3][0] == math.log2(4)
    assert heat["z"][0][:3] == [None, None, None]
    assert heat["z"][0][3] == 0.0
    assert heat["customdata"][3][0] == ["timestep 3", "4×"]
    assert bars["x"] == [0.25, 0.25 + 1 / 3, 0.25 + 1 / 3 + 0.5, 0.25 + 1 / 3 + 0.5 + 1]
    assert sum(bars["width"]) == 1


def test_all_arms_have_the_same_shades() -> None:
    denser = replace(ARMS[1], schedule=schedule_of(16))
    plots = [plot for _, plot in schedules([ARMS[0], denser], LOOKS)]
    ends = {(plot.views[""]["data"][0]["zmin"], plot.views[""]["data"][0]["zmax"]) for plot in plots}
    assert ends == {(scale([ARMS[0], denser]).low, 4.0)}
    assert [label for _, label in scale([denser]).ticks] == ["0.25×", "1×", "4×", "16×"]


def test_an_arm_without_a_schedule_has_no_plot() -> None:
    assert schedules([replace(ARMS[0], schedule=None)], LOOKS) == []
    assert scale([]).high == 1.0
