"""Equal tries: which ways with the noise levels a search compares, and which of them is owed the next trial.

What ordinary training may have as well, a learning rate above all, is tried as often with ordinary training as with
whatever it is compared with; else the winner may be the one that merely had more tries (Wu, Dyer & Neyshabur 2021).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError, dotted, validated, with_values
from curriculum_search.search.arms import OF_LEVELS
from curriculum_search.search.space import ORDER, Categorical, Distribution, Float, Space
from curriculum_search.search.study import StudyFile

#: The way of no order and the density and weighting of the base.
ORDINARY = "ordinary training"
#: Parameters that hold an order within a whole part, of which nothing can be held by itself.
_WHOLE = ("curriculum", "curriculum.order")


class Tries:
    """The trials of a search by their way with the noise levels, and what is owed.

    Ordinary training is owed a trial when any other way has had more.  Where the space changes densities or weightings
    too, so is each kind of density and of weighting alone, and each order: all ways get the same number, up to one.
    Densities together with weightings are left to the sampler, and orders may have any of both.

    Args:
        file: the study.
        handed_out: the trials until now, each by its parameters.
    """

    def __init__(self, file: StudyFile, handed_out: Iterable[Mapping[str, Any]]) -> None:
        self._file = file
        even = file.study.equal_tries and not any(path in file.space.parameters for path in _WHOLE)
        self._held = held_values(file) if even else {}
        self._counts = Counter(way_of(file, params) for params in handed_out)

    @property
    def total(self) -> int:
        """The trials of all ways."""
        return self._counts.total()

    def add(self, params: Mapping[str, Any]) -> None:
        """Count a trial."""
        self._counts[way_of(self._file, params)] += 1

    def owed(self) -> list[dict[str, Any]]:
        """Values that the next trial should have, by path: those that matter most first; none where nothing is owed."""
        most = max((tries for way, tries in self._counts.items() if way != ORDINARY), default=0)
        behind = [way for way in self._held if self._counts[way] < most]
        owed = []
        for way in sorted(behind, key=lambda way: (way != ORDINARY, self._counts[way])):
            turn = self._counts[way] % len(self._held[way])
            owed += self._held[way][turn:] + self._held[way][:turn]
        return owed


def way_of(file: StudyFile, params: Mapping[str, Any]) -> str:
    """What a configuration of the space does to the noise levels: its order, else what of density and weighting is not
    as in the base, else `ORDINARY`.

    Raises:
        UserError: it makes no experiment.
    """
    experiment = file.trial(params).experiment
    order = experiment.curriculum.order
    return _way_without_order(file, experiment) if order.all_at_once else _way_of_order(order.to_dict()["kind"])


def held_values(file: StudyFile) -> dict[str, list[dict[str, Any]]]:
    """The ways that may be owed a trial, each with the values that a trial has to have for it, by path.

    There are several such sets of values where the space has several whole parts of one kind.
    """
    orders = file.space.parameters.get(ORDER)
    levels = paths_of_levels(file.space)
    found: dict[str, list[dict[str, Any]]] = {}
    if orders.contains("none") if orders is not None else file.small.curriculum.order.all_at_once:
        found = _held_without_order(file, levels)
    if levels and orders is not None:
        kinds = [kind for kind in orders.values(1) if kind != "none"]
        found |= {_way_of_order(kind): [file.space.with_conditions({ORDER: kind})] for kind in kinds}
    return found


def paths_of_levels(space: Space) -> list[str]:
    """The parameters of a space that are of the density or the weighting."""
    return [path for path in space.parameters if _part(path) in OF_LEVELS]


def _held_without_order(file: StudyFile, levels: list[str]) -> dict[str, list[dict[str, Any]]]:
    own = {part: getattr(file.small, part).to_dict() for part in OF_LEVELS}
    found: dict[str, list[dict[str, Any]]] = {}
    for params in _space_without_rest(file, levels).grid(1):
        if params.get(ORDER, "none") != "none":
            continue
        try:
            values = {path: value for path, value in params.items() if path in levels}
            experiment = validated(Experiment, with_values(own, values, ""), "")
        except UserError:
            continue
        changed = _changed(file, experiment)
        if len(changed) > 1:
            continue
        same_kind = all(getattr(experiment, part).to_dict()["kind"] == own[part]["kind"] for part in changed)
        deciding = {
            path: value
            for path, value in values.items()
            if _part(path) in changed
            and (
                path in (_part(path), f"{_part(path)}.kind")
                or (same_kind and isinstance(file.space.parameters[path], Categorical))
            )
        }
        as_in_base = {path: value for path, value in params.items() if _part(path) not in changed}
        held = as_in_base | file.space.with_conditions(deciding)
        of_way = found.setdefault(_way_without_order(file, experiment), [])
        if held not in of_way:
            of_way.append(held)
    return found


def _space_without_rest(file: StudyFile, levels: list[str]) -> Space:
    """The order, density and weighting of a space; of ranges, the ends and the value of the base."""
    own = dotted(file.small.to_dict())
    kept = {path: _few(file.space.parameters[path], own.get(path)) for path in levels}
    if ORDER in file.space.parameters:
        kept[ORDER] = file.space.parameters[ORDER]
    return Space(
        parameters={
            path: replace(few, when={other: wanted for other, wanted in few.when.items() if other in kept})  # type: ignore[type-var]
            for path, few in kept.items()
        }
    )


def _few(distribution: Distribution, own: Any) -> Distribution:
    if not isinstance(distribution, Float):
        return distribution
    choices = [*([own] if distribution.contains(own) else []), *distribution.values(2)]
    return Categorical(choices=tuple(dict.fromkeys(choices)), when=distribution.when)


def _changed(file: StudyFile, experiment: Experiment) -> list[str]:
    """Which of density and weighting are not as in the base."""
    pairs = {
        "density": (experiment.density.canonical(), file.small.density.canonical()),
        "weighting": (experiment.weighting, file.small.weighting),
    }
    return [part for part in OF_LEVELS if pairs[part][0] != pairs[part][1]]


def _way_without_order(file: StudyFile, experiment: Experiment) -> str:
    changed = [f"{part} {getattr(experiment, part).to_dict()['kind']}" for part in _changed(file, experiment)]
    return ", ".join(changed) or ORDINARY


def _way_of_order(kind: str) -> str:
    return f"order {kind}"


def _part(path: str) -> str:
    return path.split(".")[0]
