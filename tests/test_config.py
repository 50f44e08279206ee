"""Families of configurable parts: registration by kind, building without a validation library."""

from dataclasses import dataclass
from typing import Literal

import pytest

from curriculum_search.config import Config, Kinded, changed, later


class Shape(Kinded):
    """A family for these tests."""


@dataclass(frozen=True, kw_only=True)
class Circle(Shape):
    kind: Literal["circle"] = "circle"
    radius: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Polygon(Shape):
    kind: Literal["polygon"] = "polygon"
    angles: tuple[float, ...] = (90.0, 90.0)


@dataclass(frozen=True, kw_only=True)
class Drawing(Config):
    shape: Shape = Circle()


def test_a_member_registers_itself_under_its_kind() -> None:
    assert Shape.kinds() == {"circle": Circle, "polygon": Polygon}


def test_a_part_is_rebuilt_from_its_plain_values() -> None:
    polygon = Polygon(angles=(60.0, 60.0, 60.0))
    assert Shape.from_dict(polygon.to_dict()) == polygon
    assert Drawing(shape=polygon).to_dict() == {"shape": {"kind": "polygon", "angles": [60.0, 60.0, 60.0]}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "square"}, "'square' is not one of circle, polygon"),
        ({}, "None is not one of"),
        ({"kind": "circle", "diameter": 2.0}, "diameter: no such field in kind 'circle'"),
    ],
)
def test_what_does_not_exist_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shape.from_dict(fields)


def test_two_classes_cannot_share_a_kind() -> None:
    with pytest.raises(ValueError, match=r"'circle' is already taken by .*Circle"):

        @dataclass(frozen=True, kw_only=True)
        class Disc(Shape):
            kind: Literal["circle"] = "circle"

    assert Shape.kinds()["circle"] is Circle


@dataclass(frozen=True, kw_only=True)
class Kept(Config):
    size: float | None = changed(None, 1.0)
    folder: str | None = later(None)


def test_a_default_that_was_changed_leaves_identities_as_they_were() -> None:
    assert Kept().to_dict() == {"size": None, "folder": None}
    assert Kept().identifying() == Kept(size=1.0).identifying() == {"size": 1.0}
    assert Kept(size=2.0, folder="x").identifying() == {"size": 2.0, "folder": "x"}


@pytest.mark.parametrize("size", [None, 1.0])
def test_what_was_written_under_a_former_default_is_what_it_is_under_the_new_one(size: float | None) -> None:
    for before in (None, 1.0):
        assert Kept(size=size).with_added({"size": before}) == Kept(size=size).to_dict()
    assert Kept(size=size).with_added({"size": 2.0}) == {"size": 2.0, "folder": None}
    assert Kept(size=2.0).with_added({"size": size}) == {"size": size, "folder": None}
