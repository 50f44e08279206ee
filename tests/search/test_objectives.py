"""How soon a trial is as good as ordinary training at its end."""

import pytest

from curriculum_search.direction import Direction
from curriculum_search.search.objectives import images_to_baseline

IMAGES = [100, 200, 300, 400]


@pytest.mark.parametrize(
    ("curve", "target", "value"),
    [
        ([9.0, 7.0, 5.0, 4.0], 6.0, 250 / 400),
        ([9.0, 7.0, 5.0, 4.0], 4.0, 1.0),
        ([9.0, 7.0, 5.0, 4.0], 2.0, 1 + 2.0 / 2.0),  # 1 and the share by which it is off
        ([5.0, 4.0, 7.0, 4.0], 5.0, (300 + 100 * 2 / 3) / 400),  # what it had once reached, it has to keep
    ],
)
def test_the_share_of_the_images_after_which_a_run_is_as_good(curve: list[float], target: float, value: float) -> None:
    assert images_to_baseline(IMAGES, curve, target, Direction.MINIMIZE) == pytest.approx(value)


def test_a_metric_that_is_maximised_gives_the_mirrored_share() -> None:
    for target in (4.0, 6.0):
        ups = images_to_baseline(IMAGES, [1.0, 3.0, 5.0, 5.5], target, Direction.MAXIMIZE)
        downs = images_to_baseline(IMAGES, [-1.0, -3.0, -5.0, -5.5], -target, Direction.MINIMIZE)
        assert ups == pytest.approx(downs)
    assert images_to_baseline(IMAGES, [1.0, 3.0, 5.0, 5.5], 4.0, Direction.MAXIMIZE) == pytest.approx(250 / 400)


def test_a_run_that_misses_is_always_behind_one_that_makes_it() -> None:
    missed = images_to_baseline(IMAGES, [9.0, 8.0, 7.0, 5.001], 5.0, Direction.MINIMIZE)
    made = images_to_baseline(IMAGES, [9.0, 8.0, 7.0, 5.0], 5.0, Direction.MINIMIZE)
    assert made == 1.0 < missed
    assert images_to_baseline(IMAGES, [3.0] * 4, 0.0, Direction.MINIMIZE) > 1  # a target of 0 is no error
