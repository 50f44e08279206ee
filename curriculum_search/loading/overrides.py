"""Fields by their dotted path: from a command line, from a space, from a proxy."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from curriculum_search.loading.errors import UserError, shown
from curriculum_search.loading.yaml_text import parse_value


def parse_overrides(arguments: Iterable[str]) -> dict[str, Any]:
    """``["training.batch_size=32"]`` as a mapping from dotted path to value.

    Raises:
        UserError: an argument is not of the form path=value.
    """
    overrides = {}
    for argument in arguments:
        path, sign, text = argument.partition("=")
        if not sign or not path:
            raise UserError(f"command line: {argument!r} is not of the form path=value, as in training.seed=1")
        overrides[path] = parse_value(text)
    return overrides


def with_values(raw: Mapping[str, Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A copy of nested `raw` in which every dotted path of `values` has a copy of its value.

    A new ``kind`` takes the place of the part that was there, whose other fields belong to the old kind; fields of
    the new kind that are also in `values` are set after it.  A range, min and max, takes the place of a number.
    Below ``params``, which hold names of the user's own, ``kind`` is a name like any other.

    Raises:
        UserError: a path leads through something that is not a mapping.
    """
    result: dict[str, Any]
    result, values = json.loads(json.dumps([raw, values]))
    for path in sorted(values, key=lambda p: (p.count("."), not (p.endswith(".kind") or p == "kind"), p)):
        *parents, name = path.split(".")
        node = result
        for depth, parent in enumerate(parents):
            child, outer = node.setdefault(parent, {}), ".".join(parents[: depth + 1])
            if isinstance(child, int) and {f"{outer}.min", f"{outer}.max"} <= values.keys():
                child = node[parent] = {}
            if not isinstance(child, dict):
                raise UserError(f"{where}: {path}: {outer} is {shown(child)} and has no fields")
            node = child
        if name == "kind" and "params" not in parents and node.get("kind") != values[path]:
            node.clear()
        node[name] = values[path]
    return result


def dotted(raw: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted path to value; of a path that is there twice, the later value."""
    found: dict[str, Any] = {}
    for name, value in raw.items():
        found |= dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
