"""The study file: what is searched, over which base experiment, in which space."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from curriculum_search.config import Config
from curriculum_search.evaluation.evaluator import FeatureEvaluator
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError, define_plugins, read_plugins, read_yaml, validated, with_values
from curriculum_search.search.arms import NO_CURRICULUM, Arm, BaselineName, baseline
from curriculum_search.search.samplers import TPE, SearchSampler
from curriculum_search.search.space import Categorical, Distribution, Space
from curriculum_search.search.stopping import NoStopping, Stopping

_SECTIONS = ("study", "base", "space")


@dataclass(frozen=True, kw_only=True)
class Confirmation(Config):
    """The second half of a study: the leaders and the baselines again, at full length, on seeds that the search
    never saw.

    Attributes:
        leaders: how many of the best searched configs are confirmed, each beside its exposure-matched control.  0:
            none.
        min_seeds: seeds that every arm gets.
        max_seeds: seeds that an undecided arm may get.
        confidence: of the intervals that are reported, over all arms and looks together.
    """

    leaders: int = 1
    min_seeds: int = 3
    max_seeds: int = 8
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.leaders < 0:
            raise ValueError(f"leaders must be at least 0, not {self.leaders}")
        if not 2 <= self.min_seeds <= self.max_seeds:
            raise ValueError(f"min_seeds must be in [2, max_seeds = {self.max_seeds}], not {self.min_seeds}")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence must be in [0.5, 1), not {self.confidence}")


@dataclass(frozen=True, kw_only=True)
class Study(Config):
    """How the search is done.

    Attributes:
        name: of the study's folder and of its run in MLflow.
        objective: the metric that decides, as an evaluator names it; the evaluator knows whether less of it is better.
        trials: configs that the search tries, the baselines not counted; can be raised later.
        seed: of all runs of the search and of the search itself.
        algorithm: proposes configs.
        stopping: ends trials early.
        baselines: arms that every study trains beside what it searches.
        equal_tries: ordinary training gets as many tries of the other parameters as any other order, so that a
            better learning rate is never taken for a better curriculum.
        confirmation: how the verdict is reached.
        max_concurrent_trials: trials at once; None: as many as the cluster has room for.
        max_hours: no new trial of the search starts after this time; None: no limit.
    """

    name: str
    objective: str
    trials: int = 24
    seed: int = 0
    algorithm: SearchSampler = field(default_factory=TPE)
    stopping: Stopping = field(default_factory=NoStopping)
    baselines: tuple[BaselineName, ...] = ("no_curriculum", "published", "reversed", "random_order")
    equal_tries: bool = True
    confirmation: Confirmation = field(default_factory=Confirmation)
    max_concurrent_trials: int | None = None
    max_hours: float | None = None

    def __post_init__(self) -> None:
        if not self.name or set(self.name) & set("/\\ \t\n") or self.name.startswith("."):
            raise ValueError(f"name must be usable as a folder's name, without spaces, not {self.name!r}")
        if self.trials < 0:
            raise ValueError(f"trials must be at least 0, not {self.trials}")
        if NO_CURRICULUM not in self.baselines:
            raise ValueError(f"baselines must include {NO_CURRICULUM}: it is what a curriculum is compared with")
        if self.max_concurrent_trials is not None and self.max_concurrent_trials < 1:
            raise ValueError(f"max_concurrent_trials must be at least 1, not {self.max_concurrent_trials}")
        if self.max_hours is not None and self.max_hours <= 0:
            raise ValueError(f"max_hours must be above 0, not {self.max_hours}")


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """A study file, read and checked.

    Attributes:
        path: where it was read.
        study, base, space: its three sections.
        raw_base: `base` as written, which arms override by dotted path.
        plugins: file name to source text.
    """

    path: Path
    study: Study
    base: Experiment
    space: Space
    raw_base: Mapping[str, Any]
    plugins: dict[str, str]

    @classmethod
    def load(cls, path: Path, overrides: Mapping[str, Any]) -> "StudyFile":
        """Read and check a study file, with overrides by dotted path (``study.trials``, ``base.training.batch_size``).

        Raises:
            UserError: one message that says what to change, and where.
        """
        where = str(path)
        # A parameter of the space is one key with dots in it.
        parameters = {p: v for p, v in overrides.items() if p.startswith("space.")}
        raw = with_values(read_yaml(path), {p: v for p, v in overrides.items() if p not in parameters}, "command line")
        for section in raw:
            if section not in _SECTIONS:
                raise UserError(f"{where}: {section}: no such section; allowed: {', '.join(_SECTIONS)}")
        for section in _SECTIONS:
            if not isinstance(raw.get(section), dict):
                raise UserError(f"{where}: {section}: this section is required, and holds fields")
        for override, value in parameters.items():
            parameter, _, field_name = override.removeprefix("space.").rpartition(".")
            if isinstance(raw["space"].get(parameter), dict):
                raw["space"][parameter][field_name] = value
            else:
                raw["space"][override.removeprefix("space.")] = value
        raw["space"] = {parameter: value for parameter, value in raw["space"].items() if value is not None}
        plugins = read_plugins(raw["base"].get("plugins", ()), where, path.parent, field="base.plugins")
        define_plugins(plugins)
        file = cls(
            path=path,
            study=validated(Study, raw["study"], where, "study"),
            base=validated(Experiment, raw["base"], where, "base"),
            space=_space(raw["space"], where),
            raw_base=raw["base"],
            plugins=plugins,
        )
        file._check()
        return file

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Whether less or more of the objective is better."""
        return self.base.evaluation.direction(self.study.objective)

    def second_opinions(self) -> tuple[str, ...]:
        """Distances of the final evaluation by other extractors than the objective's, in the objective's direction."""
        evaluation = self.base.evaluation
        deciding = next(e for e in evaluation.active(final=True) if self.study.objective in e.names)
        own = deciding.extractor if isinstance(deciding, FeatureEvaluator) else None
        return tuple(
            evaluator.names[0]
            for evaluator in evaluation.active(final=True)
            if isinstance(evaluator, FeatureEvaluator)
            and evaluator.extractor != own
            and evaluation.direction(evaluator.names[0]) == self.direction
        )

    def experiment(self, arm: Arm, seed: int) -> Experiment:
        """The experiment of one run.

        Raises:
            UserError: the arm's values make no experiment.
        """
        raw = with_values(self.raw_base, dict(arm.values), f"{self.path}: space")
        experiment = validated(Experiment, raw, f"{self.path}: {arm.name}")
        return replace(experiment, seed=seed)

    def baselines(self) -> list[Arm]:
        """The baseline arms of this study."""
        return [baseline(name, self.base) for name in self.study.baselines]

    def trial_experiment(self, params: Mapping[str, Any]) -> Experiment:
        """The experiment of a searched configuration, with the seed of the search."""
        return self.experiment(Arm(name="space", role="searched", values=params), self.study.seed)

    def fingerprint(self) -> str:
        """What must stay as it is when a study goes on, as JSON: base (but for its resources), space, objective and
        seed."""
        base = self.base.to_dict()
        del base["resources"], base["plugins"]
        return json.dumps(
            {
                "base": base,
                "space": self.space.to_dict()["parameters"],
                "study.objective": self.study.objective,
                "study.seed": self.study.seed,
            },
            sort_keys=True,
        )

    def differences(self, fingerprint: str) -> list[str]:
        """The parts in which another fingerprint differs from this study's."""
        mine, other = json.loads(self.fingerprint()), json.loads(fingerprint)
        return [part for part in mine if mine[part] != other.get(part)]

    def write_resolved(self, folder: Path) -> Path:
        """Write the study with every default filled in, as ``study.yaml``."""
        resolved = {
            "study": self.study.to_dict(),
            "base": self.base.to_dict(),
            "space": self.space.to_dict()["parameters"],
        }
        path = folder / "study.yaml"
        path.write_text(yaml.safe_dump(resolved, sort_keys=False, default_flow_style=None, width=120))
        return path

    def tracked_params(self) -> dict[str, str]:
        """The few settings that tell studies apart in MLflow's table."""
        return {
            "objective": self.study.objective,
            "algorithm": self.study.algorithm.to_dict()["kind"],
            "stopping": self.study.stopping.to_dict()["kind"],
            "seed": str(self.study.seed),
        }

    def _probe(self, path: str, value: Any) -> dict[str, Any]:
        """A configuration of the space in which `path` has `value`."""
        wanted = {path: value}
        for child in reversed(self.space.order):
            if child in wanted:
                for parent, allowed in self.space.parameters[child].when.items():
                    wanted.setdefault(parent, allowed[0] if isinstance(allowed, list | tuple) else allowed)
        return self.space.define(lambda p, distribution: wanted.get(p, distribution.values(2)[0]))

    def _check_values(self, values: Mapping[str, Any], path: str) -> None:
        """Whether a configuration of the space makes an experiment; else its parameter without which it would (or
        `path`) is named."""
        try:
            self._base_with(values, f"{self.path}: space")
        except UserError:
            for suspect in values:
                with suppress(UserError):
                    self._base_with({p: v for p, v in values.items() if p != suspect}, "")
                    path = suspect
                    break
            self._base_with(values, f"{self.path}: space.{path} = {values[path]!r}")

    def _base_with(self, values: Mapping[str, Any], where: str) -> Experiment:
        return validated(Experiment, with_values(self.raw_base, values, where), where, "base")

    def _check(self) -> None:
        where = str(self.path)
        try:
            self.base.check()
        except ValueError as error:
            raise UserError(f"{where}: base.{error}") from error
        names = self.base.evaluation.metric_names(final=False)
        if self.study.objective not in names:
            raise UserError(
                f"{where}: study.objective: no evaluator of base.evaluation.evaluators yields "
                f"{self.study.objective!r}; they yield: {', '.join(names)}"
            )
        for path, value in ((p, v) for p, d in self.space.parameters.items() for v in _extremes(d)):
            self._check_values(self._probe(path, value), path)
        for arm in self.baselines():
            self.experiment(arm, self.study.seed)


def _space(raw: Mapping[str, Any], where: str) -> Space:
    parameters = validated(dict[str, Distribution], raw, where, "space")
    try:
        return Space(parameters=parameters)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


def _extremes(distribution: Distribution) -> list[Any]:
    values = distribution.values(2)
    return values if isinstance(distribution, Categorical) else [values[0], values[-1]]
