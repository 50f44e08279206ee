"""Warm start: what a study tries first, because something earlier found it good.

A config (of an earlier study, of a file, the published one) is projected onto this study's space and enqueued: it is
trained here and counts as one of this study's trials.  Values that runs came to elsewhere are not comparable, since
another base, objective or seed moves them by more than configs differ, so they are never taken over.  The one exception
is a study with the very same base, proxy, objectives and seeds, whose space alone may differ.  Its best configs,
enqueued like any others, bring their runs along and are not trained again; what else finished there tells the sampler
where good configs lie, without being a trial of this study.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import TrialState

from curriculum_search.cli import cache_root
from curriculum_search.curriculum import Curriculum
from curriculum_search.direction import Direction
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError, dotted, load_experiment, validated, with_values
from curriculum_search.runs.store import RunStore
from curriculum_search.search.arms import baseline
from curriculum_search.search.design import Design
from curriculum_search.search.optuna.encoding import decode
from curriculum_search.search.optuna.journal import JournalReader
from curriculum_search.search.optuna.searcher import LEARNT, Searcher
from curriculum_search.search.space import Categorical, Distribution, Space, holds
from curriculum_search.search.study import FINGERPRINT, JOURNAL, StudyFile
from curriculum_search.storage import fetched, is_address

PUBLISHED: Literal["published"] = "published"
#: How many of an earlier study's configs are tried.
BEST_CONFIGS = 3


@dataclass(frozen=True, kw_only=True)
class Config:
    """A config to start from.

    Attributes:
        source: where it comes from, in words.
        experiment: the whole of it.
        values: of this study's objectives, where they are comparable.
        runs: folder of the study that trained it, where its runs can stand for runs of this study.
    """

    source: str
    experiment: Experiment
    values: tuple[float, ...] = ()
    runs: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """One item of `study.warm_start`, read.

    Attributes:
        item: as written.
        configs: what is to be tried, the best first.
        finished: what is to be learnt.
        remark: what to say of all of it.
        seeds: of the runs by which the configs were chosen.
    """

    item: str
    configs: list[Config]
    finished: list[Config] = field(default_factory=list)
    remark: str = ""
    seeds: range = range(0)


def check_warm_start(file: StudyFile) -> None:
    """Whether every item of `study.warm_start` can be read.

    Raises:
        UserError: one cannot; the message has its problem and the forms that are allowed.
    """
    for item in file.study.warm_start:
        _read(file, item)


def warm_start(file: StudyFile, searcher: Searcher, store: RunStore) -> list[str]:
    """Enqueue what `study.warm_start` names, and teach the sampler what is comparable.

    Done again, it adds only what is new: an earlier study that is still at work may have found better configs.

    Returns:
        Lines that say what was taken over, and what was not.

    Raises:
        UserError: see `check_warm_start`.
    """
    plan, lines = Design.of(file).plan, []
    confirmed_on = plan.seeds(plan.reference) if plan else ()
    for source in [_read(file, item) for item in file.study.warm_start]:
        enqueued, remarks = 0, [source.remark] if source.remark else []
        for config in source.configs:
            params, outside = project(file.space, config.experiment.to_dict())
            if not params:
                remarks.append(f"{config.source}: nothing of it can be tried, for {_left_open(file.space, outside)}")
            elif not searcher.knows(params):
                if not outside:
                    _adopt(file, store, config, params)
                searcher.enqueue(params, source=config.source)
                enqueued += 1
                remarks += _losses(file, config, params, outside)
        learnt = sum(_learn(file, searcher, config) for config in source.finished)
        if enqueued or learnt:
            words = f"{enqueued} config{'s' * (enqueued != 1)} to try first"
            words += f", {learnt} learnt with their values" if learnt else ""
            if enqueued and (repeated := sorted(set(source.seeds) & set(confirmed_on))):
                remarks.append(
                    f"it was chosen on seed {repeated[0]}, on which this study confirms; for a verdict on seeds that "
                    "it has not seen, set study.seed to another"
                )
            lines += [f"warm start: {source.item}: {words}", *(f"  {remark}" for remark in remarks)]
        elif not source.configs or remarks[bool(source.remark) :]:
            lines += [f"warm start: {source.item}: nothing to try", *(f"  {remark}" for remark in remarks)]
    return lines


def project(space: Space, plain: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A config as far as a space has it.

    Args:
        space: of the study that is to try it.
        plain: the experiment's fields as nested plain values.

    Returns:
        Path to value wherever the space contains the config's value, conditional parameters only where their condition
        holds; and path to value (None if the config has no such field) of the active parameters that are left open.
    """
    params: dict[str, Any] = {}
    outside: dict[str, Any] = {}
    for path in space.order:
        distribution = space.parameters[path]
        if not holds(distribution.when, params):
            continue
        value = _lookup(plain, path)
        found, settled = _settle(distribution, value)
        if found:
            params[path] = settled
        else:
            outside[path] = value
    return params, outside


def _read(file: StudyFile, item: str) -> Source:
    path = fetched(item, cache_root()) if is_address(item) else Path(item)
    try:
        if item == PUBLISHED:
            experiment = file.experiment(baseline(PUBLISHED, file.small), file.study.seed, small=True)
            return Source(item=item, configs=[Config(source=PUBLISHED, experiment=experiment)])
        if path.is_dir():
            return _read_study(file, item, path)
        if not path.exists():
            raise UserError("there is no such file or folder")
        experiment = load_experiment(path, {}, file.runner)[0]
        seeds = range(experiment.seed, experiment.seed + 1)
        return Source(item=item, configs=[Config(source=item, experiment=experiment)], seeds=seeds)
    except UserError as error:
        problem = str(error).splitlines()[0]
        raise UserError(
            f"{file.path}: study.warm_start: {item}: {problem.removeprefix(f'{item}: ')}; allowed: the folder of a "
            f"study (results/NAME), an experiment file such as its best.yaml, or the word {PUBLISHED}"
        ) from error


def _read_study(file: StudyFile, item: str, folder: Path) -> Source:
    if missing := [name for name in (FINGERPRINT, JOURNAL) if not (folder / name).exists()]:
        raise UserError(f"is no study's folder, it has no {missing[0]}")
    try:
        parts = json.loads((folder / FINGERPRINT).read_text())
        base = parts.get("study.proxy", parts["base"])
        names = [parts["study.objective"], *parts.get("study.secondary_objectives", ())]
        study = _open(folder / JOURNAL)
        space = Space(parameters=_distributions(study.user_attrs["space"]))
        trials = [t for t in study.get_trials(deepcopy=False) if t.state is TrialState.COMPLETE]
        trials = Direction[study.directions[0].name].ranked(trials, lambda trial: trial.values[0])
        found = [(trial, decode(space, trial.params)) for trial in trials]
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, StopIteration) as error:
        raise UserError(f"is not a study that can be read ({type(error).__name__}: {error})") from error
    others = set(file.differences(json.dumps(parts))) - {"space", "study.secondary_objectives"}
    comparable = not others and set(file.objectives) <= set(names)
    configs = [
        Config(
            source=f"{item}, trial {trial.number}",
            experiment=_experiment(file, with_values(base, params, item)),
            values=tuple(trial.values[names.index(name)] for name in file.objectives) if comparable else (),
            runs=folder / "runs" if comparable else None,
        )
        for trial, params in (found if comparable else found[:BEST_CONFIGS])
    ]
    own = [config for config, (trial, _) in zip(configs, found, strict=False) if LEARNT not in trial.user_attrs]
    why = ", ".join(sorted(others)) or "study.secondary_objectives"
    remark = "" if comparable else f"its values are not taken over, for it has another {why}"
    if not found:
        remark = "no searched config has finished there"
    first = parts["study.seed"]
    return Source(
        item=item,
        configs=own[:BEST_CONFIGS],
        finished=configs if comparable else [],
        remark=remark,
        seeds=range(first, first + parts.get("study.seeds_per_trial", 1)),
    )


def _open(path: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(JournalReader(path)))


def _distributions(fingerprint: str) -> dict[str, Distribution]:
    return validated(dict[str, Distribution], json.loads(fingerprint)["parameters"], JOURNAL, "space")


def _experiment(file: StudyFile, plain: Mapping[str, Any]) -> Experiment:
    try:
        return replace(validated(Experiment, plain, FINGERPRINT), seed=file.study.seed)
    except UserError as error:
        hint = "; if a plug-in defines it, name that in base.plugins" if " is unknown" in str(error) else ""
        raise UserError(f"{str(error).splitlines()[0]}{hint}") from error


def _learn(file: StudyFile, searcher: Searcher, config: Config) -> bool:
    """Whether the config is one of this space, and new."""
    params, _ = project(file.space, config.experiment.to_dict())
    with suppress(ValueError):  # not a whole configuration, or none that can be trained
        if file.trial(params).key == config.experiment.identity() and not searcher.knows(params):
            return searcher.learn(params, config.values, source=config.source)
    return False


def _adopt(file: StudyFile, store: RunStore, config: Config, params: Mapping[str, Any]) -> None:
    """Take over the runs of a config, if it is trained here exactly as it was there."""
    if config.runs is None:
        return
    with suppress(ValueError):
        first = file.trial(params)
        if first.key != config.experiment.identity():
            return
        curriculum = first.experiment.describe()
        tags = {"arm": config.source, "role": "searched", "phase": "search", "curriculum": curriculum}
        for seed in file.search_seeds:
            run = file.run(first.arm, seed, small=True)
            name = f"{config.source}: {curriculum}, seed {seed}"
            store.adopt(run.key, run.experiment, config.runs, name=name, tags=tags)


def _losses(file: StudyFile, config: Config, params: Mapping[str, Any], outside: Mapping[str, Any]) -> list[str]:
    """In what a config is not tried as it was."""
    lines = []
    if outside:
        lines.append(f"{config.source}: left to the sampler, for {_left_open(file.space, outside)}")
    with suppress(UserError):  # not an experiment as long as something is open
        mine = _flat(file.trial(params).experiment.curriculum)
        kept = [
            f"{path} ({_shown(value)} there)"
            for path, value in _flat(config.experiment.curriculum).items()
            if path in mine and mine[path] != value and path not in file.space.parameters
        ]
        if kept:
            lines.append(f"{config.source}: not searched here, so as in base: {', '.join(kept)}")
    return lines


def _left_open(space: Space, outside: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{path} is {space.parameters[path].allowed()} here, and "
        + ("it has none" if value is None else f"{_shown(value)} there")
        for path, value in outside.items()
    )


def _settle(distribution: Distribution, value: Any) -> tuple[bool, Any]:
    """Whether a distribution has a value, and the value as the distribution writes it.

    A choice that is a mapping leaves the defaults of its part out.
    """
    if isinstance(distribution, Categorical) and isinstance(value, Mapping):
        choices = [c for c in distribution.choices if isinstance(c, Mapping) and _agrees(c, value)]
        return bool(choices), max(choices, key=len, default=None)
    return distribution.contains(value), value


def _agrees(choice: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return all(Categorical(choices=(value.get(name),)).contains(wanted) for name, wanted in choice.items())


def _lookup(plain: Mapping[str, Any], path: str) -> Any:
    node: Any = plain
    for name in path.split("."):
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _flat(curriculum: Curriculum) -> dict[str, Any]:
    """The fields of a curriculum that have an effect, by their path in an experiment."""
    return dotted(curriculum.canonical().to_dict(), "curriculum.")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
