"""The samplers of a study: Optuna's, by name."""

import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import optuna
from optuna.samplers import BaseSampler

from curriculum_search.config import Kinded

#: Optuna's classes that a study file can name: not the abstract ones, nor the one that takes another sampler as an
#: argument; `Grid` is what GridSampler, which knows nothing of conditions, would be for.
_NAMES = [
    name
    for name in optuna.samplers.__all__
    if name.endswith("Sampler")
    and name not in ("PartialFixedSampler", "GridSampler")
    and not inspect.isabstract(getattr(optuna.samplers, name))
]


class SearchSampler(Kinded):
    """How configurations are proposed.

    Attributes:
        same_seed: after a restart the sampler needs the seed that it began with, the rest of its state being in the
            storage; any other would repeat its first draws.
    """

    same_seed: ClassVar[bool] = False

    def build(self, seed: int) -> BaseSampler:
        """The Optuna sampler, with random state from `seed`."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TPE(SearchSampler):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), joint over the parameters of each branch of the space.

    Attributes:
        num_startup_trials: drawn at random first.
        num_candidates: draws from the good trials' density, of which the most promising is tried.
        multivariate: one density over all parameters rather than one each (Falkner et al. 2018).
        group: a density per group of parameters that exist together; needs `multivariate`.
        constant_liar: running trials count as bad, so that parallel ones spread.
    """

    kind: Literal["tpe"] = "tpe"
    num_startup_trials: int = 10
    num_candidates: int = 24
    multivariate: bool = True
    group: bool = True
    constant_liar: bool = True

    def __post_init__(self) -> None:
        if self.group and not self.multivariate:
            raise ValueError("group must be false where multivariate is false, not true")

    def build(self, seed: int) -> BaseSampler:
        return optuna.samplers.TPESampler(
            n_startup_trials=self.num_startup_trials,
            n_ei_candidates=self.num_candidates,
            multivariate=self.multivariate,
            group=self.group,
            constant_liar=self.constant_liar,
            seed=seed,
        )


@dataclass(frozen=True, kw_only=True)
class GaussianProcess(SearchSampler):
    """Gaussian process with log expected improvement; parameters with conditions are drawn at random.

    Attributes:
        num_startup_trials: drawn at random first.
    """

    kind: Literal["gp"] = "gp"
    num_startup_trials: int = 10

    def build(self, seed: int) -> BaseSampler:
        return optuna.samplers.GPSampler(
            n_startup_trials=self.num_startup_trials, seed=seed, warn_independent_sampling=False
        )


@dataclass(frozen=True, kw_only=True)
class CMAES(SearchSampler):
    """CMA-ES over the numbers; categories and parameters with conditions are drawn at random."""

    kind: Literal["cmaes"] = "cmaes"

    def build(self, seed: int) -> BaseSampler:
        if importlib.util.find_spec("cmaes") is None:
            raise ValueError("sampler kind cmaes needs the package cmaes: pip install cmaes")
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


@dataclass(frozen=True, kw_only=True)
class QMC(SearchSampler):
    """Scrambled low-discrepancy sequence: random search that leaves no holes.

    Attributes:
        sequence: which sequence.
    """

    same_seed: ClassVar[bool] = True
    kind: Literal["qmc"] = "qmc"
    sequence: Literal["sobol", "halton"] = "sobol"

    def build(self, seed: int) -> BaseSampler:
        return optuna.samplers.QMCSampler(
            qmc_type=self.sequence, scramble=True, seed=seed, warn_independent_sampling=False
        )


@dataclass(frozen=True, kw_only=True)
class NSGAII(SearchSampler):
    """Genetic search for several objectives (Deb et al. 2002).

    Attributes:
        population_size: configs of one generation.
    """

    kind: Literal["nsgaii"] = "nsgaii"
    population_size: int = 50

    def build(self, seed: int) -> BaseSampler:
        return optuna.samplers.NSGAIISampler(population_size=self.population_size, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Random(SearchSampler):
    """Independent draws."""

    kind: Literal["random"] = "random"

    def build(self, seed: int) -> BaseSampler:
        return optuna.samplers.RandomSampler(seed=seed)


@dataclass(frozen=True, kw_only=True)
class Grid(SearchSampler):
    """Every configuration once, in random order; numbers with a continuum of values at `points` of them.

    Attributes:
        points: values of each number with a continuum of them.
    """

    kind: Literal["grid"] = "grid"
    points: int = 5

    def __post_init__(self) -> None:
        if self.points < 1:
            raise ValueError(f"points must be at least 1, not {self.points}")

    def build(self, seed: int) -> BaseSampler:
        return optuna.samplers.RandomSampler(seed=seed)


@dataclass(frozen=True, kw_only=True)
class AnyOptuna(SearchSampler):
    """Another class of `optuna.samplers` by its name, with the arguments that its documentation lists.

    Attributes:
        name: of the class, as in ``BruteForceSampler``.
        options: arguments of the class by name.
    """

    kind: Literal["optuna"] = "optuna"
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in _NAMES:
            raise ValueError(f"name must be one of {', '.join(_NAMES)}, not {self.name!r}")

    def build(self, seed: int) -> BaseSampler:
        sampler = getattr(optuna.samplers, self.name)
        options = {"seed": seed, **self.options}
        try:
            return sampler(**options)  # type: ignore[no-any-return]
        except (TypeError, ValueError) as error:
            raise ValueError(f"options of sampler {self.name}: {error}") from None
