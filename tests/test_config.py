"""Families of configurable parts: registration by kind, building without a validation library."""

from dataclasses import dataclass
from typing import Literal

import pytest

from curriculum_search.config import Config, Kinded


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
