"""YAML: one schema for what is read and for what is written."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from curriculum_search.loading.errors import UserError, shown

#: A file may hold so many bytes, and so many values once its aliases are written out; of a long text, so many
#: characters count as a value.  Study files have a hundred values, and two hundred bytes for each would be many.
MOST_BYTES, MOST_VALUES, _CHARACTERS = 1 << 20, 20_000, 50
#: Lists and mappings within each other.
MOST_DEEP = 50

_TAG = "tag:yaml.org,2002:"
#: Tag, the plain scalars that have it, and the characters that these begin with ("" of the empty one).
_SCALARS = {
    f"{_TAG}{name}": (re.compile(rf"(?:{pattern})\Z"), first)
    for name, pattern, first in (
        ("null", r"~|null|Null|NULL|", ("", *"~nN")),
        ("bool", r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
        ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", tuple("-+0123456789")),
        (
            "float",
            r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
            tuple("-+.0123456789"),
        ),
        ("merge", r"<<", ("<",)),
    )
}
_RESOLVERS = {
    character: [(tag, pattern) for tag, (pattern, first) in _SCALARS.items() if character in first]
    for character in {character for _, first in _SCALARS.values() for character in first}
}


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2, with merge keys, and without what the rest of this package could not take: a key
    that is no text or is written twice, and a document that is huge once its aliases are written out."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._values = self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        before = self._values
        self._depth += 1
        if self._depth > MOST_DEEP:
            raise yaml.composer.ComposerError(None, None, f"more than {MOST_DEEP} values within each other", mark)
        node = super().compose_node(parent, index)
        assert node is not None
        if node in self._sizes:  # an alias
            self._values += self._sizes[node]
        else:
            self._values += 1 + (len(node.value) // _CHARACTERS if isinstance(node, yaml.ScalarNode) else 0)
            self._sizes[node] = self._values - before
        if self._values > MOST_VALUES:
            problem = f"more than {MOST_VALUES:,} values, with aliases written out"
            raise yaml.composer.ComposerError(None, None, problem, mark)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == f"{_TAG}merge":
                continue
            key = self.construct_object(key_node, deep=True) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                what = key_node.value if isinstance(key_node, yaml.ScalarNode) else f"a {key_node.id}"
                raise _refusal(f"the name of a field must be text, not {what or 'nothing'}", key_node)
            if key in seen:
                raise _refusal(f"{key!r} is written twice", key_node)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refusal(problem: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _scalar(name: str, what: str, convert: Callable[[str], Any]) -> None:
    """Have scalars with a tag, whether it is written or follows from their form, read by the rules above."""

    def construct(loader: _Loader, node: yaml.ScalarNode) -> Any:
        text = loader.construct_scalar(node)
        try:
            if not _SCALARS[f"{_TAG}{name}"][0].match(text):
                raise ValueError
            return convert(text)
        except ValueError:
            raise _refusal(f"{shown(text)} is not {what}", node) from None

    _Loader.add_constructor(f"{_TAG}{name}", construct)


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = loader.construct_scalar(node)
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")  # JSON writes one character as two escapes
    except UnicodeDecodeError:
        raise _refusal("half a character", node) from None


_Loader.yaml_implicit_resolvers = _RESOLVERS
_Loader.yaml_constructors = {t: c for t, c in yaml.SafeLoader.yaml_constructors.items() if t != f"{_TAG}timestamp"}
_scalar("null", "null", lambda text: None)
_scalar("bool", "true or false", lambda text: text.lower() == "true")
_scalar("int", "a whole number", lambda text: int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)))
_scalar("float", "a number", lambda text: float(re.sub(r"\.(?=inf|nan)", "", text.lower())))
_Loader.add_constructor(f"{_TAG}str", _text)


class _Dumper(yaml.SafeDumper):
    """Puts text in quotes that either version of YAML would take for something else."""


_Dumper.yaml_implicit_resolvers = {
    first: [*_RESOLVERS.get(first, ()), *yaml.SafeDumper.yaml_implicit_resolvers.get(first, ())]
    for first in _RESOLVERS.keys() | yaml.SafeDumper.yaml_implicit_resolvers.keys()
}


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, by the core schema of YAML 1.2.

    ==============================================  ====================================================
    written                                         read
    ==============================================  ====================================================
    ``12``, ``+1``, ``064000``                      whole numbers, in tens whatever they begin with
    ``0o17``, ``0x1F``                              whole numbers, of base 8 and 16
    ``0.1``, ``.5``, ``1.``, ``1e-4``, ``64e3``     numbers; where a field takes whole ones, 64e3 is 64,000
    ``.inf``, ``-.inf``, ``.nan``                   numbers, which hardly any field takes
    ``true``, ``false`` (``True``, ``TRUE``)        true and false
    ``null``, ``~``, nothing (``Null``, ``NULL``)   none
    anything else without quotes                    text: ``yes``, ``off``, ``1:30``, ``1_000``, ``0b1``,
                                                    ``2026-01-01``; a field that takes a number or true or
                                                    false refuses it
    ==============================================  ====================================================

    Anchors, aliases and merge keys (``<<``) are read as usual.  The name of a field is text, and is written once.

    Raises:
        UserError: there is no such file, it is no YAML, no mapping, or too large: more than 1 MiB, or 20,000 values
            with aliases written out.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: is larger than {MOST_BYTES:,} bytes; no study or experiment file is")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a text file") from error
    try:
        raw = _load(text)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: {_reason(error, text)}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path}: must hold a mapping of fields to values, not {shown(raw)}")
    return raw


def parse_value(text: str) -> Any:
    """One value as `read_yaml` reads it: ``1e-4`` a number, ``null`` none, ``[1, 2]`` a list.

    Raises:
        UserError: it is no YAML.
    """
    try:
        return _load(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"command line: {text[:80]!r} is not a value that YAML can read: {_reason(error, text)}"
        ) from error


def to_yaml(value: Any) -> str:
    """Plain values as YAML that `read_yaml` and readers of YAML 1.1 read alike: block style throughout, but for lists
    and mappings of scalars alone, which stay on a line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120)


def _load(text: str) -> Any:
    raw = yaml.load(text, _Loader)
    try:
        json.dumps(raw)
    except (TypeError, ValueError) as error:
        raise yaml.YAMLError(f"holds what is no number, text, list or mapping ({error})") from error
    return raw


def _reason(error: yaml.YAMLError, text: str) -> str:
    """What is wrong and where, on one line."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: a character that YAML does not take (number {error.character:#x})"
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    hint = ""
    if re.search(r"\{\{|\{%|<%", text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""):
        hint = "; is there a placeholder of a template, which was to be filled in?"
    context, problem = getattr(error, "context", None) or "while", getattr(error, "problem", None)
    words = problem if context.startswith("while") else f"{context}, {problem}"
    return f"line {mark.line + 1}, column {mark.column + 1}: {words}{hint}"
