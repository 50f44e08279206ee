"""A study: what is searched, over which base experiment, in which space.  `load` reads one from its file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from curriculum_search.atomic import write_whole
from curriculum_search.config import Config
from curriculum_search.direction import Direction
from curriculum_search.experiment import Experiment, counts
from curriculum_search.loading import PluginRunner, UserError, read_yaml, to_yaml, validated, with_values
from curriculum_search.search.arms import NO_CURRICULUM, Arm, BaselineName, Run, baseline, is_ordinary
from curriculum_search.search.named_arms import check_arm, named_arm
from curriculum_search.search.objectives import IMAGES_TO_BASELINE
from curriculum_search.search.optuna.samplers import TPE, SearchSampler
from curriculum_search.search.space import Space
from curriculum_search.search.stopping import NoStopping, Stopping, SuccessiveHalving

#: In a study's folder: what must stay as it is when the study goes on, and Optuna's journal.
FINGERPRINT, JOURNAL, RESOLVED = "study.json", "study.journal", "study.yaml"
#: A part in which two studies may differ: how metrics of the same settings are measured.
MEASURE = "version of its metrics"
#: Of a study's name.  File systems take 255 bytes.
MOST_CHARACTERS, _MOST_BYTES = 100, 255
#: What else lies in the folder of all results: what jobs/train.py and jobs/evaluate.py write, and what MLflow does.
RESERVED = ("train", "evaluate", "mlflow.db", "mlartifacts")
#: What numpy's RandomState takes, and with it Optuna's samplers; torch, and with it runs, take twice as many bits.
LARGEST_SEED = 2**32 - 1


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
        name: of the study's folder and of its run in MLflow: up to 100 printable characters without spaces.
        objective: the metric that decides, as an evaluator names it; the evaluator knows whether less of it is better.
        secondary_objectives: what the search weighs beside it: further metrics, or ``images_to_baseline``, the share
            of the run after which a trial is as good as ordinary training at its end.  The leaders are then taken from
            the Pareto set; the verdict is about `objective`.
        trials: configs that the search tries, the baselines not counted; can be raised later.
        seed: of the search itself, and the first of its runs: 0 to 4,294,967,295.
        seeds_per_trial: runs of each config of the search, on as many seeds; its value is their mean.
        algorithm: proposes configs.
        stopping: ends trials early; None: successive halving, or where there are secondary objectives nothing.
        baselines: arms that every study trains beside what it searches (`baseline`).
        arms: of the user's own, by name: values by their path in `base`, or the path of a curriculum.json
            (`named_arms`).  They are confirmed as leaders are; with no trials, the study is that comparison.
        equal_tries: ordinary training, with no order and the density and weighting of `base`, gets as many tries of the
            other parameters as any order.  Where densities or weightings are searched, each kind of these alone and
            each order gets the same number too (`tries`).  That a better learning rate is not taken for a better
            curriculum is up to the confirmation too.
        warm_start: what is tried first: folders of other studies, exported configs, or ``published``.
        proxy: what the search's runs have in place of `base`'s, by dotted path (nested sections are read as such): a
            smaller model, resolution or budget.  The confirmation trains at `base`'s size.
        confirmation: how the verdict is reached.
        ablation_seeds: runs of each step on the way from ordinary training to the winner; 0: no such runs.
        max_concurrent_trials: trials at once; None: as many as the cluster has room for.
        max_images: training images of the whole study, the confirmation included; None: no limit.
        max_hours: the same of the time that the command is at work.
        max_gpu_hours: the same of the time that runs hold GPUs.
    """

    name: str
    objective: str
    secondary_objectives: tuple[str, ...] = ()
    trials: int = 24
    seed: int = 0
    seeds_per_trial: int = 1
    algorithm: SearchSampler = field(default_factory=TPE)
    stopping: Stopping | None = None
    baselines: tuple[BaselineName, ...] = ("no_curriculum", "published", "reversed", "random_order")
    arms: Mapping[str, Any] = field(default_factory=dict)
    equal_tries: bool = True
    warm_start: tuple[str, ...] = ()
    proxy: Mapping[str, Any] = field(default_factory=dict)
    confirmation: Confirmation = field(default_factory=Confirmation)
    ablation_seeds: int = 0
    max_concurrent_trials: int | None = None
    max_images: int | None = None
    max_hours: float | None = None
    max_gpu_hours: float | None = None

    def __post_init__(self) -> None:
        self._check_name()
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ValueError(f"seed must be in [0, {LARGEST_SEED}], not {self.seed}")
        if self.trials < 0:
            raise ValueError(f"trials must be at least 0, not {self.trials}")
        if NO_CURRICULUM not in self.baselines:
            raise ValueError(f"baselines must include {NO_CURRICULUM}: it is what a curriculum is compared with")
        for name, given in self.arms.items():
            check_arm(name, given)
        if self.seeds_per_trial < 1:
            raise ValueError(f"seeds_per_trial must be at least 1, not {self.seeds_per_trial}")
        if self.ablation_seeds < 0 or self.ablation_seeds == 1:
            raise ValueError(f"ablation_seeds must be 0 or at least 2, not {self.ablation_seeds}")
        if self.ablation_seeds and not self.confirms:
            raise ValueError("ablation_seeds must be 0 where confirmation.leaders is 0: the path leads to a leader")
        if self.max_concurrent_trials is not None and self.max_concurrent_trials < 1:
            raise ValueError(f"max_concurrent_trials must be at least 1, not {self.max_concurrent_trials}")
        for name in ("max_images", "max_hours", "max_gpu_hours"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise ValueError(f"{name} must be above 0, not {limit}")
        objectives = (self.objective, *self.secondary_objectives)
        if repeated := next((name for name in objectives if objectives.count(name) > 1), None):
            raise ValueError(
                f"secondary_objectives must differ from each other and from objective: {repeated} is twice"
            )
        if self.secondary_objectives and not isinstance(self.rule, NoStopping):
            raise ValueError(
                "stopping must be none where there are secondary_objectives: a trial that is poor in one objective may "
                "be good in another"
            )
        if self.proxy and not self.confirms:
            raise ValueError(
                "confirmation.leaders must be at least 1 where there is a proxy: nothing else trains at base's size"
            )

    def _check_name(self) -> None:
        name = self.name
        whole = name.isprintable() and len(name) <= MOST_CHARACTERS and len(name.encode()) <= _MOST_BYTES
        if not name or not whole or set(name) & set("/\\ ") or name.startswith((".", "-")):
            raise ValueError(
                f"name must be usable as a folder's name, of 1 to {MOST_CHARACTERS} printable characters without "
                f"spaces, slashes and backslashes, and with neither . nor - in front, not {name[:MOST_CHARACTERS]!r}"
                + (f"... ({len(name):,} characters)" if len(name) > MOST_CHARACTERS else "")
            )
        if name in RESERVED:
            raise ValueError(f"name must not be {name!r}: other results have that name")

    @property
    def searches(self) -> bool:
        """Whether there is a first phase: baselines and trials.  Else the arms that are named are all there is."""
        return self.trials > 0 or not self.arms

    @property
    def confirms(self) -> bool:
        """Whether there is a second one."""
        return self.confirmation.leaders > 0 or bool(self.arms)

    @property
    def rule(self) -> Stopping:
        """What ends trials early."""
        if self.stopping is not None:
            return self.stopping
        return NoStopping() if self.secondary_objectives else SuccessiveHalving()


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """A study file, read and checked.

    Attributes:
        path: where it was read.
        study, base, space: its three sections.
        small: `base` with the proxy's values: what the search trains.
        raw_base: `base` as written, which arms override by dotted path.
        plugins: file name to source text.
        runner: that has run them, for those of the files that the study starts from.
    """

    path: Path
    study: Study
    base: Experiment
    small: Experiment
    space: Space
    raw_base: Mapping[str, Any]
    plugins: Mapping[str, str]
    runner: PluginRunner
    _built: dict[tuple[str, int, bool], tuple[Experiment, str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def direction(self) -> Direction:
        """Whether less or more of the objective is better."""
        return self.base.direction(self.study.objective)

    @property
    def objectives(self) -> tuple[str, ...]:
        """What the search weighs, the deciding one first."""
        return (self.study.objective, *self.study.secondary_objectives)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Of each objective."""
        return tuple(
            Direction.MINIMIZE if name == IMAGES_TO_BASELINE else self.base.direction(name) for name in self.objectives
        )

    @property
    def search_seeds(self) -> range:
        """The seeds of the search's runs; the confirmation's begin after them."""
        return range(self.study.seed, self.study.seed + self.study.seeds_per_trial)

    def second_opinions(self) -> tuple[str, ...]:
        """Metrics that may disagree with the objective at the end of a run; see `Experiment.second_opinions`."""
        return self.base.second_opinions(self.study.objective)

    def experiment(self, arm: Arm, seed: int, *, small: bool = False) -> Experiment:
        """The experiment of one run, at the base's size or, `small`, at the proxy's.

        Raises:
            UserError: the arm's values make no experiment.
        """
        values = {**(self.study.proxy if small else {}), **arm.values}
        named = f"study.arms.{arm.name}" if arm.role == "named" else ""
        raw = with_values(self._plain_base, values, f"{self.path}: {named or 'space'}")
        where = f"{self.path}" if named else f"{self.path}: {arm.name}"
        return replace(validated(Experiment, raw, where, named), seed=seed)

    @cached_property
    def _plain_base(self) -> dict[str, Any]:
        return self.base.to_dict()

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """The arms that the study names.

        Raises:
            UserError: one is none.
        """
        found = []
        for name, given in self.study.arms.items():
            try:
                found.append(named_arm(name, given, self.base))
            except ValueError as error:
                raise UserError(f"{self.path}: study.arms.{name}: {error}") from error
        return tuple(found)

    def baselines(self, *, small: bool = False) -> list[Arm]:
        """The baseline arms of this study."""
        return [baseline(name, self.small if small else self.base) for name in self.study.baselines]

    def has_order(self, arm: Arm) -> bool:
        """Whether an arm trains noise levels in some order: by a curriculum, or a density that does not stay."""
        experiment = self.run(arm, self.search_seeds.stop).experiment
        density = experiment.density.canonical()
        return not is_ordinary(experiment) or (arm.role == "named" and density.adaptive)

    def run(self, arm: Arm, seed: int, *, small: bool = False, trial: int | None = None) -> Run:
        """One run of an arm; its experiment is checked and its identity computed once.

        Raises:
            UserError: the arm's values make no experiment.
        """
        known = (arm.text, seed, small)
        if known not in self._built:
            experiment = self.experiment(arm, seed, small=small)
            self._built[known] = experiment, experiment.identity()
        experiment, key = self._built[known]
        return Run(arm=arm, experiment=experiment, key=key, trial=trial)

    def trial(self, params: Mapping[str, Any]) -> Run:
        """The run of a searched configuration on the first seed of the search.

        Raises:
            UserError: it makes no experiment.
        """
        return self.run(Arm(name="space", role="searched", values=params), self.study.seed, small=True)

    def fingerprint(self) -> str:
        """What must stay as it is when a study goes on, as JSON: base and proxy (but for their resources), the images
        that are there, space, objectives and seeds."""
        sizes = {"base": _fixed(self.base.to_dict()), "study.proxy": _fixed(self.small.to_dict())}
        return json.dumps(
            sizes
            | {
                "data": [size.data_fingerprint() for size in (self.base, self.small)],
                "space": self.space.to_dict()["parameters"],
                "study.objective": self.study.objective,
                "study.secondary_objectives": self.study.secondary_objectives,
                "study.seed": self.study.seed,
                "study.seeds_per_trial": self.study.seeds_per_trial,
            },
            sort_keys=True,
        )

    def differences(self, fingerprint: str) -> list[str]:
        """The parts in which another fingerprint differs from this study's.

        Of the images nothing is known from a fingerprint of before they were part of it.  A base whose evaluation has
        the same settings, in another version of the project that measures otherwise, differs in `MEASURE`.
        """
        mine, other = json.loads(self.fingerprint()), json.loads(fingerprint)
        for size, experiment in (("base", self.base), ("study.proxy", self.small)):  # from before a field was added
            if isinstance(other.get(size), dict):
                other[size] = _fixed(experiment.with_added(other[size]))
        parts = [part for part in mine if mine[part] != other.get(part) and (part != "data" or part in other)]
        parts = [part for part in parts if part != "study.proxy" or "base" not in parts]
        measure_alone = "base" in parts and _unversioned(mine["base"]) == _unversioned(other.get("base"))
        return [MEASURE if part == "base" and measure_alone else part for part in parts]

    def fingerprint_of(self, resolved: Path) -> str:
        """The fingerprint of the study that `write_resolved` wrote.

        Raises:
            UserError, KeyError, TypeError, ValueError: the file cannot be read, or is something else.
        """
        known, mine = read_yaml(resolved), json.loads(self.fingerprint())
        study, base = known["study"], _fixed(self.base.with_added(dict(known["base"])))
        other = {part: study[part.removeprefix("study.")] for part in mine if part.startswith("study.")}
        # The proxy's sizes are what the base and the proxy's own fields make of each other.
        same = base == mine["base"] and study["proxy"] == self.study.to_dict()["proxy"]
        proxy = mine["study.proxy"] if same else None
        return json.dumps(other | {"base": base, "study.proxy": proxy, "space": known["space"]})

    def write_resolved(self, folder: Path) -> Path:
        """Write the study with every default filled in."""
        resolved = {
            "study": self.study.to_dict(),
            "base": self.base.to_dict(),
            "space": self.space.to_dict()["parameters"],
        }
        path = folder / RESOLVED
        write_whole(path, to_yaml(resolved))
        return path

    def tracked_params(self) -> dict[str, str]:
        """The few settings that tell studies apart in MLflow's table."""
        return {
            "objective": self.study.objective,
            "algorithm": self.study.algorithm.to_dict()["kind"],
            "stopping": self.study.rule.to_dict()["kind"],
            "seed": str(self.study.seed),
        }


def _fixed(experiment: dict[str, Any]) -> dict[str, Any]:
    """What of an experiment must stay as it is when a study goes on.

    Training code may lie elsewhere; what it says is told by the images' fingerprint.
    """
    fixed = {part: value for part, value in experiment.items() if part not in ("resources", "cadence", "plugins")}
    trainer = fixed.pop("trainer", {"kind": "native"})
    if trainer["kind"] == "native":
        return fixed
    kept = {name: trainer[name] for name in ("kind", "function", "command", "params", "metrics") if name in trainer}
    return {part: value for part, value in fixed.items() if counts(part)} | {"trainer": kept}


def _unversioned(plain: Any) -> Any:
    """An experiment without the versions of its extractors."""
    if isinstance(plain, dict):
        return {
            name: {k: v for k, v in value.items() if k != "version"} if name == "extractor" else _unversioned(value)
            for name, value in plain.items()
        }
    return [_unversioned(value) for value in plain] if isinstance(plain, list) else plain
