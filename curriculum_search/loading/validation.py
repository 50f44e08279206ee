"""Plain values checked against configuration classes by pydantic, whose errors become one message each."""

import dataclasses
import difflib
import functools
import json
import re
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator, core_schema

from curriculum_search.config import Kinded
from curriculum_search.loading.errors import UserError, shown

T = TypeVar("T")


def validated(cls: type[T], raw: Mapping[str, Any], where: str, prefix: str = "") -> T:
    """`raw` as an instance of the configuration class `cls`.

    A number that is whole however it is written (64e3, 64000.0) is one where a field takes whole numbers.

    Args:
        cls: a dataclass made of `Config` parts, or a dictionary of them.
        raw: nested plain values, as YAML or JSON gives them.
        where: the file's name, for the message.
        prefix: dotted path of `raw` inside the file, for the message.

    Raises:
        UserError: one message with the file, the field's path, what was given, and what is allowed.
    """
    try:
        checked: T = _checker(cast(Hashable, cls), Kinded.count_members()).validate_json(json.dumps(raw))
        return checked
    except ValidationError as error:
        lines = [_message(cls, problem, prefix) for problem in error.errors(include_url=False)]
        raise UserError("\n".join(f"{where}: {line}" for line in dict.fromkeys(lines))) from error


@functools.cache
def _checker(cls: Any, members: int) -> SchemaValidator:
    """The checker of a class; made anew when the number of registered kinds has changed, by a plug-in."""
    return SchemaValidator(_with_whole_floats(TypeAdapter(cls).core_schema))


def _with_whole_floats(schema: Any) -> Any:
    """A schema of pydantic in which every whole number may also be written as a float."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_with_whole_floats, schema))
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "int":
        return core_schema.no_info_before_validator_function(_whole, cast(core_schema.IntSchema, schema))
    return {name: _with_whole_floats(part) for name, part in schema.items()}


def _whole(value: Any) -> Any:
    exact = isinstance(value, float) and value.is_integer() and abs(value) <= 2**53
    return int(value) if exact else value


def _message(cls: type[Any], problem: Any, prefix: str) -> str:
    owner, path = _walk(cls, problem["loc"])
    dotted = ".".join(filter(None, [prefix, *path]))
    kind, given = problem["type"], shown(problem["input"])
    context = problem.get("ctx", {})
    if kind == "unexpected_keyword_argument":
        allowed = sorted(f.name for f in dataclasses.fields(owner)) if dataclasses.is_dataclass(owner) else []
        return f"{dotted}: no such field{_did_you_mean(path[-1], allowed)}; allowed: {', '.join(allowed)}"
    if kind == "union_tag_invalid":
        allowed = re.findall(r"'([^']+)'", context["expected_tags"])
        close = _did_you_mean(context["tag"], allowed)
        return f"{dotted}.kind: {context['tag']!r} is unknown{close}; allowed: {', '.join(sorted(allowed))}"
    if kind == "union_tag_not_found":
        members = sorted(_family_kinds(cls, problem["loc"]))
        return f"{dotted}: needs a kind{': ' + ', '.join(members) if members else ''}; given {given}"
    if kind == "value_error":
        return f"{dotted}: {context['error']}" if dotted else str(context["error"])
    if kind == "missing":
        return f"{dotted}: is required"
    if kind in ("too_long", "too_short"):
        limit = context.get("max_length", context.get("min_length"))
        return f"{dotted}: must hold {limit} values, not {given}"
    wanted = problem["msg"].removeprefix("Input should be ")
    return f"{dotted}: must be {_PLAIN_WORDS.get(wanted, wanted)}, not {given}"


_PLAIN_WORDS = {
    "a valid array": "a list",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "an object": "a mapping of fields to values",
}


def _walk(cls: Any, location: tuple[Any, ...]) -> tuple[Any, list[str]]:
    """The class that a problem's location leads to, and its path without pydantic's union tags."""
    owner, path = _inner(cls), list[str]()
    for step in location:
        if step in (_label(choice) for choice in getattr(owner, "__args__", ())):
            continue  # which of the types that a field may have was tried
        if isinstance(owner, type) and issubclass(owner, Kinded) and not dataclasses.is_dataclass(owner):
            if step in owner.kinds():
                owner = owner.kinds()[step]
            else:
                path.append(str(step))  # a place in a list or a dictionary of such parts
            continue
        path.append(str(step))
        if dataclasses.is_dataclass(owner):
            field = {f.name: f for f in dataclasses.fields(owner)}.get(str(step))
            if field is None:
                break
            owner = _inner(field.type)
    return owner, path


def _inner(annotation: Any) -> Any:
    """``X`` for ``X``, ``X | None``, ``tuple[X, ...]`` and ``dict[str, X]``."""
    if isinstance(annotation, type) and not getattr(annotation, "__args__", ()):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if isinstance(argument, type) and (dataclasses.is_dataclass(argument) or issubclass(argument, Kinded)):
            return argument
    return annotation


def _label(annotation: Any) -> str:
    """What pydantic calls one of several types."""
    return annotation.__name__ if type(annotation) is type else str(annotation)


def _family_kinds(cls: Any, location: tuple[Any, ...]) -> list[str]:
    owner, _ = _walk(cls, location)
    return list(owner.kinds()) if isinstance(owner, type) and issubclass(owner, Kinded) else []


def _did_you_mean(word: str, allowed: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), list(allowed), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
