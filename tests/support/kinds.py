"""Kinds that a test makes up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


def member(family: type[Any], **methods: Callable[..., Any]) -> Any:
    """An instance of a new kind of `family` with the given methods."""
    fields = {"__annotations__": {"kind": Literal["wrong"]}, "kind": "wrong", "__module__": __name__}
    wrong: type[Any] = type("Wrong", (family,), {**fields, **methods})
    return dataclass(frozen=True, kw_only=True)(wrong)()
