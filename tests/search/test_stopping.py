"""Early stopping: what each rule stops, what it must not, and how it comes back after a restart."""

import math
from collections.abc import Callable

import pytest

from curriculum_search.search.stopping import NoStopping, Stopper, Stopping, SuccessiveHalving

TOTAL = 1200
STEPS = range(100, TOTAL + 1, 100)


def ordinary(end: float) -> list[tuple[int, float, float]]:
    """A run without a curriculum that ends at `end`: images, value, unlocked share."""
    return [(images, end + 40 * math.exp(-4 * images / TOTAL), 1.0) for images in STEPS]


def curriculum(end: float) -> list[tuple[int, float, float]]:
    """A run that unlocks everything at half of its images, is far behind before, and ends at `end`."""
    return [
        (images, end + (40 * math.exp(-4 * images / TOTAL) if images >= 600 else 60.0), min(images / 600, 1.0))
        for images in STEPS
    ]


def play(stopper: Stopper, trial: int, curve: list[tuple[int, float, float]]) -> int:
    """Images at which the trial is stopped, or all."""
    for images, value, unlocked in curve:
        if stopper.decide(trial, images, value, unlocked) == "stop":
            return images
    return TOTAL


def alternating(stopping: Stopping) -> dict[str, list[int]]:
    """Eight ordinary runs and eight curricula that end ahead of them, by turns."""
    stopper = stopping.build(TOTAL)
    images: dict[str, list[int]] = {"ordinary": [], "curriculum": []}
    for i in range(8):
        images["ordinary"].append(play(stopper, 2 * i, ordinary(10.0 + i)))
        images["curriculum"].append(play(stopper, 2 * i + 1, curriculum(6.0 + 0.1 * i)))
    return images


def test_without_a_rule_nothing_is_stopped() -> None:
    images = alternating(NoStopping())
    assert set(images["ordinary"] + images["curriculum"]) == {TOTAL}


def test_ordinary_halving_stops_curricula_that_would_have_won() -> None:
    images = alternating(SuccessiveHalving(settle_share=None))
    assert set(images["curriculum"][1:]) == {300}
    assert images["ordinary"][0] == TOTAL


def test_halving_among_the_unlocked_lets_a_curriculum_finish_first() -> None:
    images = alternating(SuccessiveHalving(settle_share=0.0))
    assert min(images["curriculum"]) >= 600
    assert images["curriculum"][0] == TOTAL


def test_a_curriculum_that_has_just_ended_may_settle() -> None:
    rule = SuccessiveHalving(first_rung_share=0.5, settle_share=0.2)
    stopper = rule.build(TOTAL)
    play(stopper, 0, ordinary(1.0))
    assert play(stopper, 1, curriculum(5.0)) == TOTAL
    assert play(stopper, 2, ordinary(5.0)) == 600
    hasty = SuccessiveHalving(first_rung_share=0.5, settle_share=0.0).build(TOTAL)
    play(hasty, 0, ordinary(1.0))
    assert play(hasty, 1, curriculum(5.0)) == 600


@pytest.mark.parametrize(
    "rule",
    [
        SuccessiveHalving(settle_share=None),
        SuccessiveHalving(eta=3, settle_share=0.1),
    ],
    ids=["as published", "after the curriculum"],
)
def test_a_rule_that_is_told_its_history_again_decides_as_before(rule: Stopping) -> None:
    curves = {i: ordinary(5.0 + (7 * i) % 5) if i % 2 else curriculum(5.0 + (3 * i) % 7) for i in range(14)}
    first, history = rule.build(TOTAL), []
    for images in STEPS:
        for i in range(7):
            history.append((i, *curves[i][images // 100 - 1]))
            first.decide(*history[-1])
    second = rule.build(TOTAL)
    for report in history:
        second.decide(*report)
    assert [play(first, i, curves[i]) for i in range(7, 14)] == [play(second, i, curves[i]) for i in range(7, 14)]


def test_a_repeated_report_of_a_resumed_run_changes_nothing() -> None:
    rule = SuccessiveHalving(first_rung_share=0.5, settle_share=None)
    stopper = rule.build(TOTAL)
    play(stopper, 0, ordinary(1.0))
    for images, value, unlocked in ordinary(0.5)[:8]:
        stopper.decide(1, images, value, unlocked)
    assert play(stopper, 1, ordinary(0.5)) == TOTAL
    assert play(stopper, 2, ordinary(1.5)) == 600


def test_a_value_that_is_not_finite_stops_a_run() -> None:
    assert NoStopping().build(TOTAL).decide(0, 100, math.nan, 1.0) == "stop"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SuccessiveHalving(eta=1.0), "eta must be above 1, not 1.0"),
        (lambda: SuccessiveHalving(first_rung_share=1.0), r"first_rung_share must be in \(0, 1\), not 1.0"),
        (lambda: SuccessiveHalving(settle_share=1.0), r"settle_share must be in \[0, 1\) or null, not 1.0"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
