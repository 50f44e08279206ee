"""What is known of a run: its learning curve."""

from collections.abc import Mapping, Sequence
from typing import Any

from curriculum_search.runs.result import Curve
from curriculum_search.training import Report


def report(
    images: int,
    value: float,
    *,
    switches: Sequence[Mapping[str, Any]] = (),
    exposure: Mapping[str, list[float]] | None = None,
) -> Report:
    return Report(images=images, metrics={"fd": value}, switches=tuple(switches), exposure=exposure or {})


def test_a_curve_has_each_point_once_and_the_last_exposure() -> None:
    curve = Curve()
    assert curve.add(report(10, 3.0, switches=({"stage": 1},)))
    assert curve.add(report(20, 2.0, switches=({"stage": 2},), exposure={"mass": [1.0]}))
    assert not curve.add(report(10, 3.0, switches=({"stage": 1},)))  # said again after a resume
    assert not curve.add(report(20, 2.0))
    assert curve.add(Report(images=30, metrics={"other": 1.0}))
    assert curve.points("fd") == [(10, 3.0), (20, 2.0)]
    assert curve.columns("fd") == ([10, 20], [3.0, 2.0])
    assert curve.switches == [{"stage": 1}, {"stage": 2}]
    assert curve.exposure == {"mass": [1.0]}


def test_a_curve_without_points_has_seen_nothing() -> None:
    curve = Curve()
    assert (curve.images_seen, curve.points("fd"), curve.columns("fd")) == (0, [], ([], []))
    curve.add(report(10, 3.0))
    assert curve.images_seen == 10
    assert curve.points("other") == []
