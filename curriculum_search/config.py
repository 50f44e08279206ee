"""The two base classes of everything that can be configured.

Every configurable part is a frozen, keyword-only dataclass that stands beside the code that reads it.  A part of
which there are several (a pacing, a noise process, a model) is a *family*: a direct subclass of `Kinded`, whose members
declare ``kind: Literal["name"] = "name"``.  Declaring the member registers it, so that a file of one's own which
defines a new member makes it available in every study file under that name.

Only the standard library is needed here.  pydantic, where it is installed, reads the same classes and checks YAML files
against them (`curriculum_search.loading`).
"""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypeVar, get_args, get_type_hints

T = TypeVar("T")

_LATER = "later"
_FORMER = "former"


class Config:
    """A plain configuration dataclass: unknown keys and values of the wrong type are errors."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    def to_dict(self) -> dict[str, Any]:
        """All fields, nested ones included, as plain dictionaries, lists and numbers."""
        return _plain(dataclasses.asdict(self))  # type: ignore[call-overload, no-any-return]

    def identifying(self) -> dict[str, Any]:
        """What an identity is made of: the same, as before there were fields that were added `later`, where they have
        their default, and before defaults were `changed`."""
        return _plain(_identifying(self))  # type: ignore[no-any-return]

    def with_added(self, plain: Any) -> Any:
        """Plain fields of a config like this one, and where they lack one that was added `later`, its default.

        Of a default that was `changed` and the former one, they have that which this config has.
        """
        if not isinstance(plain, Mapping):
            return plain
        found, kind = dict(plain), getattr(self, "kind", None)
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if _LATER in field.metadata and plain.get("kind", kind) == kind:
                default = field.default
                found.setdefault(field.name, default.to_dict() if isinstance(default, Config) else default)
            if _FORMER in field.metadata and field.name in found:
                alike = (field.default, field.metadata[_FORMER])
                found[field.name] = value if value in alike and found[field.name] in alike else found[field.name]
            if isinstance(value, Config) and field.name in found:
                found[field.name] = value.with_added(found[field.name])
        return found

    @classmethod
    def added_later(cls) -> dict[str, Any]:
        """The fields that were added `later`, with their defaults, which files from before do not have."""
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]
        return {field.name: field.default for field in fields if _LATER in field.metadata}


def later(default: T) -> T:
    """A field that was added when runs had been trained without it, which keep their identity under its default."""
    return dataclasses.field(default=default, metadata={_LATER: True})


def changed(default: T, former: Any) -> T:
    """A field that runs had been trained with under another default, which changes nothing of what is trained: they
    keep their identity under the new one."""
    return dataclasses.field(default=default, metadata={_FORMER: former})


class Kinded(Config):
    """A family of interchangeable parts (the direct subclass) and its members (classes with a ``kind``).

    A family is written ``class Pacing(Kinded)``; a member ``class Linear(Pacing)`` with
    ``kind: Literal["linear"] = "linear"`` as its first field.
    """

    _members: ClassVar[dict[str, type["Kinded"]]]
    _total: ClassVar[int] = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Kinded in cls.__bases__:
            cls._members = {}
        elif "kind" in inspect.get_annotations(cls):
            (kind,) = get_args(get_type_hints(cls)["kind"])
            known = cls._members.get(kind)
            # A module that is imported again under another name (a plug-in on a worker) redefines the same class.
            if known is not None and known.__qualname__ != cls.__qualname__:
                raise ValueError(f"kind {kind!r} is already taken by {known.__module__}.{known.__qualname__}")
            cls._members[kind] = cls
            Kinded._total += 1

    @staticmethod
    def count_members() -> int:
        """How often a member of any family has been registered in this process."""
        return Kinded._total

    @classmethod
    def kinds(cls) -> dict[str, type[Self]]:
        """The registered members of this family by their ``kind``."""
        return dict(cls._members)  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Build the member that ``fields["kind"]`` names, without any validation library.

        Raises:
            ValueError: the kind, or one of the other fields, does not exist.
        """
        member = cls._members.get(fields.get("kind", ""))
        if member is None:
            raise ValueError(f"kind {fields.get('kind')!r} is not one of {', '.join(sorted(cls._members))}")
        known = {f.name for f in dataclasses.fields(member)}  # type: ignore[arg-type]
        if unknown := sorted(set(fields) - known):
            raise ValueError(
                f"{', '.join(unknown)}: no such field in kind {fields['kind']!r} ({', '.join(sorted(known))})"
            )
        families = {name: hint for name, hint in get_type_hints(member).items() if name in known}
        return member(**{name: _built(value, families[name]) for name, value in fields.items()})  # type: ignore[return-value]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        if "kind" in getattr(cls, "__dataclass_fields__", {}):
            return handler(source)
        choices = {kind: handler.generate_schema(member) for kind, member in cls._members.items()}
        return {"type": "tagged-union", "choices": choices, "discriminator": "kind"}


def _identifying(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            field.name: _identifying(field.metadata.get(_FORMER, own) if own == field.default else own)
            for field in dataclasses.fields(value)
            for own in [getattr(value, field.name)]
            if not (_LATER in field.metadata and own == field.default)
        }
    if isinstance(value, dict):
        return {name: _identifying(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_identifying(item) for item in value]
    return value


def _built(value: Any, hint: Any) -> Any:
    """A field's value from what a file has for it."""
    if isinstance(value, Mapping) and isinstance(hint, type) and issubclass(hint, Kinded):
        return hint.from_dict(value)
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        first = {"kind": value["kind"]} if "kind" in value else {}  # the order of inherited fields puts it last
        return first | {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
