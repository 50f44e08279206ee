"""The reference of study and experiment files, from the configuration classes: docstrings, types, defaults, ranges.

A field's words are those of its class's docstring (a section ``Attributes:`` or ``Args:``), its type and default those
of the dataclass, and its range what the class itself says when it is given a number out of range.
"""

import collections.abc
import dataclasses
import functools
import inspect
import os
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from curriculum_search.config import Config, Kinded
from curriculum_search.experiment import Experiment
from curriculum_search.search.space import Distribution
from curriculum_search.search.study import Study

#: Numbers that are out of some range; what a class answers to them is its range.
PROBES = (-1, 0, 0.5, 2, 3, 10**15)
_PLAIN_TYPES = {int: "whole number", float: "number", str: "text", bool: "true or false", Any: "any value"}


@dataclass(frozen=True, kw_only=True)
class Section:
    """A class of the reference, and where it is described.

    Attributes:
        cls: a configuration class, or a family of them.
        path: dotted path of the field that holds it, in the file.
        page: the page, relative to docs/reference.
        heading: of the section on that page; "": it is the page.
    """

    cls: type[Config]
    path: str
    page: str
    heading: str


def sections() -> list[Section]:
    """Every class that a study or an experiment file can hold, once, in the order in which they are read.

    A class that several fields can hold is described where its own package is: a pacing under ``curriculum``, though a
    density may have one too.
    """
    found: dict[type[Config], Section] = {}

    def visit(section: Section, package: str | None, seen: set[type[Config]]) -> None:
        cls, page = section.cls, section.page
        if cls in seen or (package is not None and _package(cls) != package):
            return
        seen.add(cls)
        home = found.setdefault(cls, section)
        if home.page != page:
            return
        if is_family(cls):
            for kind, member in kinds(cls).items():
                heading = f"{section.path.rpartition('.')[2]}: {kind}"
                visit(Section(cls=member, path=section.path, page=page, heading=heading), package, seen)
            return
        hints = get_type_hints(cls)
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            below = f"{section.path}.{field.name}".lstrip(".")
            for part in configurable(hints[field.name]):
                if cls is Experiment:
                    part_of = Section(cls=part, path=below, page=f"experiment/{field.name}.md", heading="")
                    visit(part_of, _package(part) if package else None, seen)
                else:
                    visit(Section(cls=part, path=below, page=page, heading=below), package, seen)

    roots = (
        Section(cls=Study, path="study", page="study/study.md", heading=""),
        Section(cls=Distribution, path="space", page="study/space.md", heading=""),
        Section(cls=Experiment, path="", page="experiment/README.md", heading=""),
    )
    for own_package in (True, False):  # the classes of a part's own package first
        seen = set[type[Config]]()
        for root in roots:
            visit(root, _package(root.cls) if own_package else None, seen)
    return list(found.values())


def _package(cls: type) -> str:
    """The package that a class is in: ``curriculum`` for ``curriculum_search.curriculum.pacing``."""
    return ".".join(cls.__module__.split(".")[1:2])


def is_family(cls: type) -> bool:
    """Whether a class stands for several kinds."""
    return issubclass(cls, Kinded) and not dataclasses.is_dataclass(cls)


def family_of(cls: type[Config]) -> type[Config]:
    """The family to which a class belongs that stands for some of its kinds."""
    return next(base for base in cls.__mro__ if Kinded in base.__bases__)


def kinds(family: type[Config]) -> dict[str, type[Config]]:
    """The project's own members of a family, or of a part of one, by their kind: those of plug-ins are left out."""
    assert issubclass(family, Kinded)
    package = Config.__module__.partition(".")[0]
    members = {kind: member for kind, member in family.kinds().items() if issubclass(member, family)}
    return {kind: member for kind, member in members.items() if member.__module__.partition(".")[0] == package}


def configurable(annotation: Any) -> Iterator[type[Config]]:
    """The configuration classes within a type."""
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, Config):
            yield family_of(annotation) if is_family(annotation) else annotation
        return
    for argument in get_args(annotation):
        yield from configurable(argument)


def described(cls: type) -> tuple[str, dict[str, str]]:
    """The text of a class's docstring, and the words for each of its fields, as Markdown.

    Words that a class does not have are those of the class that it inherits the field from.
    """
    text, words = _split(cls)
    for base in cls.__mro__[1:]:
        if base not in (Config, Kinded, object):
            words = _split(base)[1] | words
    return text, words


@functools.cache
def _split(cls: type) -> tuple[str, dict[str, str]]:
    document = inspect.cleandoc(cls.__doc__ or "")
    if document.startswith(f"{cls.__name__}("):  # a dataclass's own, where it was given none
        document = ""
    text, _, fields = document.partition("Attributes:\n")
    words = {}
    for names, given in re.findall(r"^    ([a-z_0-9, ]+): (.*(?:\n {5,}.*)*)", fields, re.M):
        for name in names.split(", "):
            words[name] = _markdown(given)
    return _markdown(text), words


def _markdown(text: str) -> str:
    """A docstring's text as Markdown, each paragraph on one line."""
    parts = [re.sub(r" *See `\w+` for the fields\.", "", part) for part in text.strip().split("\n\n")]
    drawn = [f"```text\n{part}\n```" if part.startswith("===") else " ".join(part.split()) for part in parts]
    joined = re.sub(r"(?<!`)``(?!`)", "`", "\n\n".join(drawn))
    return re.sub(r"(?<![`\w])None(?![`\w])", "`null`", joined)


def default(field: "dataclasses.Field[Any]") -> str:
    """A field's default as it would stand in a file."""
    if field.default is not dataclasses.MISSING:
        return f"`{plain(field.default)}`"
    if field.default_factory is not dataclasses.MISSING:
        made = plain(field.default_factory())
        return "its defaults" if made == "{}" and isinstance(field.default_factory(), Config) else f"`{made}`"
    return "required"


def plain(value: Any) -> str:
    """A value as YAML on one line; of a part, its kind and what differs from its own defaults."""
    if isinstance(value, Config):
        fields = dataclasses.fields(value)  # type: ignore[arg-type]
        differing = {f.name: v for f in fields if not _is_default(f, v := getattr(value, f.name))}
        kind = {"kind": value.kind} if hasattr(value, "kind") else {}
        return plain(kind | differing) if kind | differing else "{}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {plain(v)}" for name, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(plain, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _is_default(field: "dataclasses.Field[Any]", value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        return bool(field.default == value)
    return field.default_factory is not dataclasses.MISSING and bool(field.default_factory() == value)


def ranges(cls: type[Config]) -> dict[str, str]:
    """What the class says of each field's range when it is given numbers out of range."""
    hints = get_type_hints(cls)
    required = {
        f.name: _sample(hints[f.name])
        for f in dataclasses.fields(cls)  # type: ignore[arg-type]
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    found = {}
    for name, annotation in hints.items():
        said = dict[str, None]()
        for probe in _probes(annotation):
            try:
                cls(**{**required, name: probe})
            except (ValueError, TypeError, ArithmeticError) as error:
                said |= dict.fromkeys(_allowed(name, str(error)))
        found[name] = ", ".join(said)
    return found


def _allowed(name: str, message: str) -> list[str]:
    """What a message as "eta must be above 1, not 0" allows."""
    match = re.match(rf"{name} must be (.+?)(?:, not .*|[;:] .*)?$", message)
    if match is None:
        return []
    present = r" \([^,)]*\)| = [\d.]+|(?<=_max) [\d.]+"  # values that other fields have now, as "(64)"
    return [re.sub(rf"{present}| or null", "", match[1])]


def _probes(annotation: Any) -> list[Any]:
    arguments = [a for a in get_args(annotation) if a is not types.NoneType]
    if get_origin(annotation) in (Union, types.UnionType) and len(arguments) == 1:
        return _probes(arguments[0])
    if annotation in (int, float):
        return [probe for probe in PROBES if annotation is float or isinstance(probe, int)]
    if get_origin(annotation) is tuple and arguments and set(arguments) <= {int, float}:
        return [(-1,) * len(arguments)]
    return []


def _sample(annotation: Any) -> Any:
    """Some value of a required field, to build a class with."""
    return {int: 1, float: 1.0, str: "x", bool: False}.get(annotation, ())


def type_words(annotation: Any, links: Mapping[type, str]) -> str:
    """A type in a user's words, with links to the classes that have a section."""
    if annotation in _PLAIN_TYPES:
        return _PLAIN_TYPES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{plain(choice)}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        parts = [type_words(a, links) for a in arguments if a is not types.NoneType]
        return " or ".join([*parts, *["`null`"] * (types.NoneType in arguments)])
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"list of {type_words(arguments[0], links)}"
    if origin is tuple:
        return f"list of {len(arguments)}: {', '.join(type_words(a, links) for a in dict.fromkeys(arguments))}"
    if origin in (collections.abc.Mapping, dict):
        return f"mapping of {type_words(arguments[0], links)} to {type_words(arguments[1], links)}"
    return links.get(annotation, getattr(annotation, "__name__", str(annotation)))


def table(cls: type[Config], links: Mapping[type, str]) -> list[str]:
    """The fields of a class as a Markdown table."""
    hints, (_, words), limits = get_type_hints(cls), described(cls), ranges(cls)
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name == "kind":
            continue
        allowed = f", {limits[field.name]}" if limits[field.name] else ""
        cells = [
            f"`{field.name}`",
            f"{type_words(hints[field.name], links)}{allowed}",
            default(field),
            words.get(field.name, ""),
        ]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return rows if len(rows) > 2 else ["No fields."]


def anchor(heading: str) -> str:
    """A heading's anchor, on GitHub and in the site."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def link(target: Section, page: str, words: str = "") -> str:
    """A Markdown link from a page to a section, under its path or heading where no words are given."""
    words = words or (target.path if is_family(target.cls) or not target.heading else target.heading)
    place = "" if target.page == page else os.path.relpath(target.page, os.path.dirname(page))
    mark = f"#{anchor(target.heading)}" if target.heading else ""
    return f"[{words}]({place + mark or os.path.basename(page)})"


def pages() -> dict[str, str]:
    """The pages by their path under docs/reference."""
    every = sections()
    texts = dict[str, list[str]]()
    for section in every:
        links = {other.cls: link(other, section.page) for other in every}
        lines = texts.setdefault(section.page, [f"# {_title(section)}", ""])
        if section.heading:
            level = "###" if not is_family(section.cls) and ": " in section.heading else "##"
            lines += [f"{level} {section.heading}", ""]
        lines += [described(section.cls)[0], ""]
        if is_family(section.cls):
            lines += _kinds_table(section, {s.cls: s for s in every})
        else:
            lines += [*table(section.cls, links), ""]
    return {"kinds.md": _kinds_page(every), **{page: "\n".join(lines) for page, lines in texts.items()}}


def _kinds_page(every: list[Section]) -> str:
    """Every family at a glance."""
    page, members = "kinds.md", {section.cls: section for section in every}
    lines = ["# Kinds at a glance", "", "| part | kinds |", "|---|---|"]
    for section in every:
        if is_family(section.cls):
            linked = [link(members[member], page, f"`{kind}`") for kind, member in kinds(section.cls).items()]
            lines.append(f"| {link(section, page)} | {', '.join(linked)} |")
    return "\n".join(lines)


def _title(section: Section) -> str:
    return {"": "The experiment file", "study": "study", "space": "space"}.get(section.path, section.path)


def _kinds_table(section: Section, every: Mapping[type, Section]) -> list[str]:
    rows = ["| kind | |", "|---|---|"]
    for kind, member in kinds(section.cls).items():
        summary = described(member)[0].partition("\n\n")[0]
        escaped = summary.replace("|", "\\|")
        rows.append(f"| {link(every[member], section.page, f'`{kind}`')} | {escaped} |")
    return [*rows, ""]
