"""A search space in Optuna's terms, and back."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from curriculum_search.direction import Direction
from curriculum_search.search.space import Categorical, Distribution, Float, Int, Space


def to_optuna(distribution: Distribution) -> optuna.distributions.BaseDistribution:
    """A parameter's values in Optuna's terms."""
    match distribution:
        case Float():
            return optuna.distributions.FloatDistribution(distribution.low, distribution.high, log=distribution.log)
        case Int():
            return optuna.distributions.IntDistribution(
                distribution.low, distribution.high, log=distribution.log, step=distribution.step
            )
        case Categorical():
            return optuna.distributions.CategoricalDistribution([_label(choice) for choice in distribution.choices])
    raise TypeError(distribution)


def suggest(trial: optuna.Trial, path: str, distribution: Distribution) -> Any:
    """Ask Optuna for a parameter's value."""
    match distribution:
        case Float():
            value: Any = trial.suggest_float(path, distribution.low, distribution.high, log=distribution.log)
        case Int():
            value = trial.suggest_int(
                path, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        case Categorical():
            value = trial.suggest_categorical(path, [_label(choice) for choice in distribution.choices])
    return _decode(distribution, value)


def _label(choice: Any) -> Any:
    """What Optuna is told of a choice: it knows only plain values, so lists and mappings go as text."""
    return choice if choice is None or isinstance(choice, bool | int | float | str) else json.dumps(choice)


def _decode(distribution: Distribution, value: Any) -> Any:
    if isinstance(distribution, Categorical):
        return next(choice for choice in distribution.choices if _label(choice) == value)
    return value


def encode(params: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as Optuna is told it."""
    return {path: _label(value) for path, value in params.items()}


def decode(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration from what Optuna was told.

    Raises:
        KeyError, StopIteration: it is none of this space.
    """
    return {path: _decode(space.parameters[path], value) for path, value in params.items()}


def to_directions(directions: Sequence[Direction]) -> list[optuna.study.StudyDirection]:
    """The directions of a study's objectives in Optuna's terms."""
    return [optuna.study.StudyDirection[direction.name] for direction in directions]
