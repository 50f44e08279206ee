"""What can be wrong with a study file as a whole, said before anything starts."""

import json
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any

from curriculum_search.config import Config
from curriculum_search.experiment import OF_OWN_TRAINERS, Experiment, counts
from curriculum_search.loading import UserError, dotted, validated, with_values
from curriculum_search.search.arms import NO_CURRICULUM, OF_LEVELS, of_curriculum
from curriculum_search.search.named_arms import levels_of, settings_of
from curriculum_search.search.objectives import IMAGES_TO_BASELINE
from curriculum_search.search.optuna.samplers import AnyOptuna
from curriculum_search.search.optuna.suitability import try_out
from curriculum_search.search.space import ORDER, Categorical, Distribution, Space, holds
from curriculum_search.search.study import StudyFile
from curriculum_search.search.tries import ORDINARY, held_values, paths_of_levels
from curriculum_search.tracking import check_metric_name

#: Parts of which more can be wrong than their form: files that are not there, or do not fit each other.
_LOOKED_AT = ("data", "encoder", "evaluation")
_Check = Callable[[StudyFile, Mapping[str, Any], str], object]


def check_study(file: StudyFile) -> None:
    """Check what the fields of a study file cannot tell each on its own.

    Warns:
        UserWarning: a kind that is searched drops fields that are written in the base.

    Raises:
        UserError: one message with the file, the field, what was given and what is allowed.
    """
    where = str(file.path)
    for size, section in ((file.base, "base."), (file.small, "study.proxy: ")):
        try:
            size.check()
        except ValueError as error:
            raise UserError(f"{where}: {section}{error}") from error
    if both := [path for path in file.study.proxy if path in file.space.parameters]:
        raise UserError(f"{where}: study.proxy: {both[0]} is searched; take it out of the proxy or of the space")
    if not file.base.is_native:
        _check_own_trainer(file)
    _check_metric_names(file)
    _check_objectives(file)
    _check_density(file)
    _check_equal_tries(file)
    _check_algorithm(file)
    for path, value in ((p, v) for p, d in file.space.parameters.items() for v in _extremes(d)):
        _check_values(file, _probe(file.space, path, value), path, _build)
    for path in reversed(file.space.order):  # a path of data before the kind of data that it belongs to
        if path.split(".")[0] in _LOOKED_AT:
            for value in _extremes(file.space.parameters[path]):
                _check_values(file, _probe(file.space, path, value), path, _look_at)
    warn_of_lost_fields(file)
    for small in (True, False):
        for arm in file.baselines(small=small):
            file.experiment(arm, file.study.seed, small=small)
    _check_arms(file)


def _check_arms(file: StudyFile) -> None:
    """Whether every arm that is named makes an experiment, and trains otherwise than every other arm."""
    known: dict[tuple[str, str], str] = {}
    ordinary = ""
    for arm in (*file.baselines(), *file.arms) if file.arms else ():
        experiment, where = file.experiment(arm, file.study.seed), f"{file.path}: study.arms.{arm.name}"
        if arm.role == "named":
            try:
                experiment.check()
            except ValueError as error:
                raise UserError(f"{where}: {error}") from error
        trained = levels_of(experiment), settings_of(experiment)
        if arm.name == NO_CURRICULUM:
            ordinary, _ = trained
        if trained in known:
            raise UserError(f"{where}: trains exactly as {known[trained]} does; leave one of the two out")
        if arm.role == "named" and trained[0] == ordinary:
            own = ", ".join(path for path in arm.values if path != ORDER)
            raise UserError(
                f"{where}: differs from {NO_CURRICULUM} in {own} alone, which ordinary training may have as well: set "
                f"it in base or search it; an arm has a curriculum, a density or a weighting of its own"
            )
        known[trained] = arm.name


def _check_own_trainer(file: StudyFile) -> None:
    """Whether what is written and what is searched reaches training code of the user's own."""
    defaults = dotted(json.loads(json.dumps(Experiment().to_dict())))
    given = dotted(json.loads(json.dumps(file.raw_base)))  # from Python all of it is, defaults included
    places = [("base", path) for path, value in given.items() if path not in defaults or defaults[path] != value]
    places += [("study.proxy", path) for path in file.study.proxy]
    places += [("space", path) for path in file.space.parameters]
    places += [(f"study.arms.{arm.name}", path) for arm in file.arms for path in arm.values]
    for section, path in places:
        if not counts(path):
            name = path.removesuffix(".kind").rpartition(".")[2]
            raise UserError(
                f"{file.path}: {section}.{path}: has no effect where code of your own trains; what it is to know is "
                f"one of its parameters, as in base.trainer.params.{name}; of an experiment it has: "
                f"{', '.join(OF_OWN_TRAINERS)}"
            )
    params = dotted(file.base.to_dict()["trainer"]["params"], "trainer.params.")
    for path, distribution in file.space.parameters.items():
        known = any(name == path or name.startswith(f"{path}.") for name in params)
        if path.startswith("trainer.params.") and not known and not distribution.when:
            raise UserError(
                f"{file.path}: space.{path}: base.{path} must be given too, for the baselines are trained with it"
            )


def _check_metric_names(file: StudyFile) -> None:
    for size, section in ((file.base, "base"), (file.small, "study.proxy")):
        for name in size.metric_names(final=True):
            try:
                check_metric_name(name)
            except ValueError as error:
                part = "evaluation" if size.is_native else "trainer.metrics"
                raise UserError(f"{file.path}: {section}.{part}: {error}") from error


def _check_objectives(file: StudyFile) -> None:
    if file.study.objective == IMAGES_TO_BASELINE:
        raise UserError(f"{file.path}: study.objective: {IMAGES_TO_BASELINE} can only be one of secondary_objectives")
    for size, section in ((file.base, "base"), (file.small, "base with study.proxy")):
        names = size.metric_names(final=False)
        for name in file.objectives:
            if name not in names and name != IMAGES_TO_BASELINE:
                decides = name == file.study.objective
                at_end = size.is_native and name in size.metric_names(final=True)
                if size.is_native:
                    problem = f"no evaluator of {section}.evaluation.evaluators yields {name!r}; they yield"
                else:
                    problem = f"{name!r} is none of {section}.trainer.metrics; there are"
                raise UserError(
                    f"{file.path}: study.{'objective' if decides else 'secondary_objectives'}: {problem}: "
                    + ", ".join(names)
                    + ("" if decides else f"; also allowed: {IMAGES_TO_BASELINE}")
                    + ("; it is measured at the end alone: move it from final_evaluators to evaluators" * at_end)
                )


def _check_density(file: StudyFile) -> None:
    for size, section in ((file.base, "base"), (file.small, "study.proxy")):
        if size.density.canonical().moves:
            raise UserError(
                f"{file.path}: {section}.density: ordinary training, which everything is compared with, needs a "
                f"density that stays as it is, not {size.density.to_dict()['kind']}; one that moves is an arm: put it "
                f"into study.arms or into the space"
            )


def _check_equal_tries(file: StudyFile) -> None:
    held, levels = held_values(file), paths_of_levels(file.space)
    tuned = [path for path in file.space.parameters if not of_curriculum(path) and path not in levels]
    if not file.study.equal_tries or not tuned or ORDINARY in held:
        return
    orders = file.space.parameters.get(ORDER)
    if orders.contains("none") if orders is not None else file.small.curriculum.order.all_at_once:
        own = ", ".join(f"{part} {getattr(file.small, part).to_dict()['kind']}" for part in OF_LEVELS)
        missing = f" as in base ({own})"
        remedy = f"have {', '.join(levels)} take the values of base too"
    else:
        missing, remedy = "", f"add none to the choices of {ORDER}"
    raise UserError(
        f"{file.path}: study.equal_tries: the space never has {ORDER} none with a density that stays{missing}, so that "
        f"ordinary training would get no tries of {', '.join(tuned)} beside the curricula; {remedy}, or set "
        f"study.equal_tries: false"
    )


def _check_algorithm(file: StudyFile) -> None:
    algorithm = file.study.algorithm
    try:
        try_out(algorithm, file.space, file.directions)
    except (ValueError, TypeError, RuntimeError, ImportError) as error:  # a NotImplementedError is a RuntimeError
        name = algorithm.name if isinstance(algorithm, AnyOptuna) else algorithm.to_dict()["kind"]
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{file.path}: study.algorithm: {name} cannot search this space: {reason}") from error


def _extremes(distribution: Distribution) -> list[Any]:
    values = distribution.values(2)
    return values if isinstance(distribution, Categorical) else [values[0], values[-1]]


def _probe(space: Space, path: str, value: Any) -> dict[str, Any]:
    """A configuration of the space in which `path` has `value`."""
    wanted = space.with_conditions({path: value})
    return space.define(lambda p, distribution: wanted.get(p, distribution.values(2)[0]))


def _check_values(file: StudyFile, values: Mapping[str, Any], path: str, check: _Check) -> None:
    """Whether a configuration of the space passes a check; else its parameter without which it would (or `path`) is
    named."""
    try:
        check(file, values, f"{file.path}: space")
    except UserError:
        for suspect in values:
            with suppress(UserError):
                check(file, {p: v for p, v in values.items() if p != suspect}, "")
                path = suspect
                break
        check(file, values, f"{file.path}: space.{path} = {values[path]!r}")


def _build(file: StudyFile, values: Mapping[str, Any], where: str) -> tuple[Experiment, ...]:
    """What a configuration of the space makes at the base's size, and at the proxy's."""
    return tuple(
        validated(Experiment, with_values(file.raw_base, {**proxy, **values}, where), where, "base")
        for proxy in ({}, file.study.proxy)
    )


def _look_at(file: StudyFile, values: Mapping[str, Any], where: str) -> None:
    """Whether data, encoder and evaluation of a configuration are there and fit, as those of the base were found to."""
    for own, made in zip((file.base, file.small), _build(file, values, where), strict=True):
        if any(getattr(own, part) != getattr(made, part) for part in _LOOKED_AT):
            try:
                made.check(*_LOOKED_AT)
            except ValueError as error:
                raise UserError(f"{where}: {error}") from error


def warn_of_lost_fields(file: StudyFile) -> None:
    """Say where a kind that is searched takes the place of a part of the base and has other values of fields that are
    written there."""
    for path, distribution in file.space.parameters.items():
        *parents, name = path.split(".")
        part, own = ".".join(parents), _at(file.base, parents)
        if name != "kind" or "params" in parents or not isinstance(own, Config):
            continue
        written = _written(file, own, parents)
        for choice in distribution.values(1):
            made = _at(_build(file, _probe(file.space, path, choice), str(file.path))[0], parents).to_dict()
            lost = [
                field
                for field in written
                if choice != own.to_dict()["kind"]
                and field in made
                and made[field] != own.to_dict()[field]
                and not _is_searched(file.space, f"{part}.{field}", {path: choice})
            ]
            if lost:
                before = {field: own.to_dict()[field] for field in lost}
                whole = ", ".join(f"{name}: {value}" for name, value in ({"kind": choice} | before).items())
                warnings.warn(
                    f"{file.path}: space.{path}: {choice} takes the place of all of base.{part}, so that its trials "
                    f"have {', '.join(f'{field} {made[field]} (base: {before[field]})' for field in lost)}; to keep "
                    f"what is written there give whole parts as choices: space.{part}: {{kind: categorical, choices: "
                    f"[..., {{{whole}}}]}}",
                    stacklevel=2,
                )


def _at(config: Any, parents: list[str]) -> Any:
    """The part of a config at a path; None where there is none."""
    for name in parents:
        config = getattr(config, name, None)
    return config


def _written(file: StudyFile, own: Config, parents: list[str]) -> list[str]:
    """The fields of a part of the base that are written; of a study from Python, which has all, those of another value
    than their default."""
    raw: Any = file.raw_base
    for name in parents:
        raw = raw.get(name, {})
    if file.raw_base != json.loads(json.dumps(file.base.to_dict())):
        return [name for name in raw if name != "kind"]
    defaults = {f.name: f.default_factory() if callable(f.default_factory) else f.default for f in fields(own)}  # type: ignore[arg-type]
    return [name for name in raw if name != "kind" and getattr(own, name) != defaults[name]]


def _is_searched(space: Space, field: str, chosen: Mapping[str, Any]) -> bool:
    """Whether a field, or one below it, is a parameter beside a chosen value."""
    return any(
        f"{path}.".startswith(f"{field}.")
        and all(holds({other: wanted}, chosen) for other, wanted in distribution.when.items() if other in chosen)
        for path, distribution in space.parameters.items()
    )
