"""The search space of a study: dotted paths of the base experiment, each with a distribution.

A parameter with ``when`` exists only where the parameters it names have one of the given values (a plateau's patience
only where the pacing is a plateau), so a configuration holds the active parameters and no others.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from curriculum_search.config import Config, Kinded

ORDER = "curriculum.order.kind"  #: the parameter that says whether there is a curriculum


class Distribution(Kinded):
    """The values that one parameter can take.

    Attributes:
        when: path of another parameter to the value, or the list of values, for which this one exists; all must hold.
    """

    when: Mapping[str, Any]

    def contains(self, value: Any) -> bool:
        """Whether `value` can be drawn."""
        raise NotImplementedError

    def values(self, points: int) -> list[Any]:
        """All values of a countable parameter, else `points` values spread evenly (over the logarithm if ``log``)."""
        raise NotImplementedError

    def allowed(self) -> str:
        """The values in words, for messages."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Float(Distribution):
    """Real numbers from `low` to `high`, uniform or log-uniform.

    Attributes:
        low: smallest value.
        high: largest value.
        log: uniform over the logarithm.
    """

    kind: Literal["float"] = "float"
    low: float
    high: float
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)

    def contains(self, value: Any) -> bool:
        return _is_number(value) and self.low <= value <= self.high

    def values(self, points: int) -> list[float]:
        if points == 1 or self.low == self.high:
            return [self.low]
        steps = [i / (points - 1) for i in range(points)]
        if self.log:
            inner = [self.low * (self.high / self.low) ** step for step in steps]
        else:
            inner = [self.low + (self.high - self.low) * step for step in steps]
        return [self.low, *inner[1:-1], self.high]

    def allowed(self) -> str:
        return f"a number from {self.low} to {self.high}"


@dataclass(frozen=True, kw_only=True)
class Int(Distribution):
    """Whole numbers from `low` to `high` in steps of `step`, uniform or log-uniform.

    Attributes:
        low: smallest value.
        high: largest value.
        step: between neighbouring values; has to divide high - low.
        log: uniform over the logarithm.
    """

    kind: Literal["int"] = "int"
    low: int
    high: int
    step: int = 1
    log: bool = False
    when: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)
        if self.step < 1 or (self.high - self.low) % self.step:
            raise ValueError(f"step must be positive and divide high - low = {self.high - self.low}, not {self.step}")
        if self.log and self.step != 1:
            raise ValueError(f"step must be 1 where log is true, not {self.step}")

    def contains(self, value: Any) -> bool:
        return (
            _is_number(value)
            and self.low <= value <= self.high
            and float(value).is_integer()
            and (int(value) - self.low) % self.step == 0
        )

    def values(self, points: int) -> list[int]:
        del points
        return list(range(self.low, self.high + 1, self.step))

    def allowed(self) -> str:
        return f"a whole number from {self.low} to {self.high} in steps of {self.step}"


@dataclass(frozen=True, kw_only=True)
class Categorical(Distribution):
    """One of `choices`: numbers, words, null, or whole lists and mappings.

    Attributes:
        choices: the values.
    """

    kind: Literal["categorical"] = "categorical"
    choices: tuple[Any, ...]
    when: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError("choices must hold at least one value, and is empty")
        for a, b in itertools.combinations(self.choices, 2):
            if a == b or _same(a, b):
                raise ValueError(f"choices must differ, and hold {a!r} twice")

    def contains(self, value: Any) -> bool:
        return any(_same(value, choice) for choice in self.choices)

    def values(self, points: int) -> list[Any]:
        del points
        return list(self.choices)

    def allowed(self) -> str:
        return "one of " + ", ".join(map(repr, self.choices))


@dataclass(frozen=True, kw_only=True)
class Space(Config):
    """The parameters of a search by their dotted path.

    Raises:
        ValueError: a ``when`` names an unknown parameter, one with a continuum of values, a value that it cannot take,
            or closes a circle.
    """

    parameters: Mapping[str, Distribution] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path, distribution in self.parameters.items():
            for other, wanted in distribution.when.items():
                self._check_condition(path, other, wanted)
        _ = self.order

    def _check_condition(self, path: str, other: str, wanted: Any) -> None:
        where = f"space.{path}.when"
        parent = self.parameters.get(other)
        if parent is None:
            known = ", ".join(sorted(set(self.parameters) - {path})) or "none"
            raise ValueError(f"{where}: {other} is not a parameter of the space; the others are: {known}")
        if isinstance(parent, Float):
            raise ValueError(f"{where}: {other} must be an int or a categorical, and is a float")
        if not _as_list(wanted):
            raise ValueError(f"{where}: {other} must have at least one value, and the list is empty")
        for value in _as_list(wanted):
            if not parent.contains(value):
                raise ValueError(f"{where}: {other} is never {value!r}; it is {parent.allowed()}")

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The paths, each after those that its ``when`` names."""
        done: list[str] = []
        left = list(self.parameters)
        while left:
            ready = [path for path in left if all(other in done for other in self.parameters[path].when)]
            if not ready:
                raise ValueError(f"space: the conditions (when) of {', '.join(left)} wait for each other in a circle")
            done += ready
            left = [path for path in left if path not in ready]
        return tuple(done)

    def define(self, suggest: Callable[[str, Distribution], Any]) -> dict[str, Any]:
        """Build one configuration, asking `suggest` for the parameters that are active in it, in `order`."""
        params: dict[str, Any] = {}
        for path in self.order:
            distribution = self.parameters[path]
            if holds(distribution.when, params):
                params[path] = suggest(path, distribution)
        return params

    def with_conditions(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`params`, and of each parameter that one of them depends on and that is not given the first value allowed."""
        found = dict(params)
        for path in reversed(self.order):
            if path in found:
                for other, wanted in self.parameters[path].when.items():
                    found.setdefault(other, _as_list(wanted)[0])
        return found

    def check(self, params: Mapping[str, Any], *, partial: bool = False) -> None:
        """Whether `params` is a configuration of this space.

        Args:
            params: dotted path to value.
            partial: parameters may be missing.

        Raises:
            ValueError: a parameter is unknown, missing, out of its range, or given where its condition does not hold.
        """
        for path, value in params.items():
            distribution = self.parameters.get(path)
            if distribution is None:
                raise ValueError(f"{path} is not a parameter of the space ({', '.join(self.parameters)})")
            if not distribution.contains(value):
                raise ValueError(f"{path} must be {distribution.allowed()}, not {value!r}")
            for other, wanted in distribution.when.items():
                if other in params and not holds({other: wanted}, params):
                    raise ValueError(f"{path} exists only where {other} is {wanted!r}, not {params[other]!r}")
        if not partial:
            active = self.define(lambda path, _: params.get(path, _MISSING))
            if missing := [path for path, value in active.items() if value is _MISSING]:
                raise ValueError(f"{', '.join(missing)} must be given")
            if idle := [path for path in params if path not in active]:
                raise ValueError(f"{', '.join(idle)} must not be given: the conditions (when) do not hold")

    def grid(self, points: int) -> Iterator[dict[str, Any]]:
        """Every configuration once, with continuous parameters at `points` values each."""

        def extend(params: dict[str, Any], paths: tuple[str, ...]) -> Iterator[dict[str, Any]]:
            if not paths:
                yield params
                return
            path, rest = paths[0], paths[1:]
            distribution = self.parameters[path]
            if not holds(distribution.when, params):
                yield from extend(params, rest)
                return
            for value in distribution.values(points):
                yield from extend({**params, path: value}, rest)

        return extend({}, self.order)

    def fingerprint(self) -> str:
        """The space as text, equal for equal spaces."""
        return json.dumps(self.to_dict(), sort_keys=True)


_MISSING = object()


def _check_range(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"low must be at most high and both finite, not {low} and {high}")
    if log and low <= 0:
        raise ValueError(f"low must be above 0 where log is true, not {low}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(a: Any, b: Any) -> bool:
    """Equality that tells True from 1 and takes a list for a tuple (YAML has only lists)."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _as_list(wanted: Any) -> list[Any]:
    return list(wanted) if isinstance(wanted, list | tuple) else [wanted]


def holds(when: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Whether a parameter with this `when` exists beside `params`."""
    return all(
        other in params and any(_same(params[other], value) for value in _as_list(wanted))
        for other, wanted in when.items()
    )
