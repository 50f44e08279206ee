"""From a YAML file to checked configuration, and from a user's mistake to one clear message."""

import dataclasses
import difflib
import functools
import json
import re
import sys
import types
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import TypeAdapter, ValidationError

from curriculum_search.config import Kinded
from curriculum_search.experiment import Experiment

T = TypeVar("T")


class UserError(ValueError):
    """A mistake that its user can mend; the message says how.  The commands print it and exit with status 2."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 with three changes: 1e-4 is a number, 2026-01-01 is text, and a key written twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is written twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9][0-9_]*)(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UserError: there is no such file, it is no YAML, or no mapping.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a text file") from error
    try:
        raw = _load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UserError(f"{path}: {where}{getattr(error, 'problem', None) or error}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path}: must hold a mapping of fields to values, not {_shown(raw)}")
    return raw


def parse_value(text: str) -> Any:
    """One value as YAML reads it: ``1e-4`` a number, ``null`` none, ``[1, 2]`` a list."""
    try:
        return _load(text)
    except yaml.YAMLError as error:
        raise UserError(f"command line: {text!r} is not a value that YAML can read") from error


def _load(text: str) -> Any:
    raw = yaml.load(text, _Loader)
    try:
        json.dumps(raw)
    except (TypeError, ValueError) as error:
        raise yaml.YAMLError(f"holds what is no number, text, list or mapping ({error})") from error
    return raw


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
    the new kind that are also in `values` are set after it.

    Raises:
        UserError: a path leads through something that is not a mapping.
    """
    result: dict[str, Any]
    result, values = json.loads(json.dumps([raw, values]))
    for path in sorted(values, key=lambda p: (p.count("."), not (p.endswith(".kind") or p == "kind"), p)):
        *parents, name = path.split(".")
        node = result
        for depth, parent in enumerate(parents):
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise UserError(
                    f"{where}: {path}: {'.'.join(parents[: depth + 1])} is {_shown(child)} and has no fields"
                )
            node = child
        if name == "kind" and node.get("kind") != values[path]:
            node.clear()
        node[name] = values[path]
    return result


def dotted(raw: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted path to value; of a path that is there twice, the later value."""
    found: dict[str, Any] = {}
    for name, value in raw.items():
        found |= dotted(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def read_plugins(paths: Any, where: str, folder: Path, *, field: str = "plugins") -> dict[str, str]:
    """The source text of the Python files that define kinds of one's own, by file name; relative paths start at
    `folder`.

    Raises:
        UserError: `paths` is not a list of names, or a file is missing.
    """
    if not isinstance(paths, list | tuple) or not all(isinstance(path, str) for path in paths):
        raise UserError(f"{where}: {field}: must be a list of file names, not {_shown(paths)}")
    sources = {}
    for given in paths:
        path = folder / given
        try:
            sources[path.name] = path.read_text()
        except OSError as error:
            raise UserError(f"{where}: {field}: {path} cannot be read ({error.strerror})") from error
    return sources


def define_plugins(sources: Mapping[str, str]) -> None:
    """Run plug-ins' source texts as modules, each once a process; a remote worker needs no copy of the files.

    Raises:
        UserError: a plug-in raises.
    """
    for name, source in sources.items():
        module_name = f"curriculum_search_plugin_{Path(name).stem}"
        if module_name in sys.modules:
            continue
        module = types.ModuleType(module_name)
        sys.modules[module_name] = module
        try:
            exec(compile(source, name, "exec"), module.__dict__)
        except Exception as error:
            del sys.modules[module_name]
            raise UserError(f"plug-in {name} fails: {type(error).__name__}: {error}") from error


def validated(cls: type[T], raw: Mapping[str, Any], where: str, prefix: str = "") -> T:
    """`raw` as an instance of the configuration class `cls`.

    Args:
        cls: a dataclass made of `Config` parts, or a dictionary of them.
        raw: nested plain values, as YAML or JSON gives them.
        where: the file's name, for the message.
        prefix: dotted path of `raw` inside the file, for the message.

    Raises:
        UserError: one message with the file, the field's path, what was given, and what is allowed.
    """
    try:
        checked: T = _adapter(cast(Hashable, cls), Kinded.count_members()).validate_json(json.dumps(raw))
        return checked
    except ValidationError as error:
        lines = [_message(cls, problem, prefix) for problem in error.errors(include_url=False)]
        raise UserError("\n".join(f"{where}: {line}" for line in dict.fromkeys(lines))) from error


@functools.cache
def _adapter(cls: Any, members: int) -> TypeAdapter[Any]:
    """The checker of a class; made anew when the number of registered kinds has changed, by a plug-in."""
    return TypeAdapter(cls)


def load_experiment(path: Path, overrides: Mapping[str, Any]) -> tuple[Experiment, dict[str, str]]:
    """Read and check an experiment file, with `overrides` by dotted path.

    Returns:
        The experiment, and the source texts of its plug-ins by file name.

    Raises:
        UserError: the file or an override is wrong.
    """
    return _experiment(read_yaml(path), path, overrides)


def load_experiment_or_base(path: Path, overrides: Mapping[str, Any]) -> tuple[Experiment, dict[str, str]]:
    """As `load_experiment`; of a study file, which has a section ``base``, that section, and a line that says so."""
    raw = read_yaml(path)
    if "base" not in raw:
        return _experiment(raw, path, overrides)
    if not isinstance(raw["base"], dict):
        raise UserError(f"{path}: base: must hold a mapping of fields to values, not {_shown(raw['base'])}")
    print(f"{path} is a study file: its base is taken", flush=True)
    return _experiment(raw["base"], path, overrides, section="base")


def _experiment(
    raw: Mapping[str, Any], path: Path, overrides: Mapping[str, Any], *, section: str = ""
) -> tuple[Experiment, dict[str, str]]:
    raw = with_values(raw, overrides, "command line")
    field = f"{section}.plugins".lstrip(".")
    plugins = read_plugins(raw.get("plugins", ()), str(path), path.parent, field=field)
    define_plugins(plugins)
    return validated(Experiment, raw, str(path), section), plugins


def _message(cls: type[Any], problem: Any, prefix: str) -> str:
    owner, path = _walk(cls, problem["loc"])
    dotted = ".".join(filter(None, [prefix, *path]))
    kind, given = problem["type"], _shown(problem["input"])
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


def _family_kinds(cls: Any, location: tuple[Any, ...]) -> list[str]:
    owner, _ = _walk(cls, location)
    return list(owner.kinds()) if isinstance(owner, type) and issubclass(owner, Kinded) else []


def _did_you_mean(word: str, allowed: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), list(allowed), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
