"""How large a study is: the runs of each of its parts, and the least of them that it cannot do without."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from curriculum_search.experiment import Experiment
from curriculum_search.search.arms import NO_CURRICULUM, Arm, Run, of_curriculum, ordinary_with_settings_of
from curriculum_search.search.space import ORDER, Space
from curriculum_search.search.statistics.comparison import Plan
from curriculum_search.search.study import StudyFile

#: Runs of the search are small, with the proxy's values; those of the confirmation and the ablation are full.
Size = Literal["small", "full"]
SIZES: tuple[Size, ...] = ("small", "full")
_MOST_BRANCHES = 10_000
#: Ordinary training at the base's settings.
_REFERENCE = Arm(name="", role="baseline", values={ORDER: "none"})


@dataclass(frozen=True, kw_only=True)
class Design:
    """The runs of a study.

    Attributes:
        small, full: what its runs train, by size.
        proxy: whether the two differ.
        baselines: runs of the baseline arms in the search.
        per_trial: runs of a trial.
        trials: that the search tries.
        plan: the confirmation, with as many leaders as it can have; None where there is none.
        ablation: the most runs that the ablation has where the winner is one of the search.
    """

    small: Experiment
    full: Experiment
    proxy: bool
    baselines: int
    per_trial: int
    trials: int
    plan: Plan | None
    ablation: int

    @classmethod
    def of(cls, file: StudyFile) -> "Design":
        """The design of a study."""
        study, settings = file.study, file.study.confirmation
        # A study without a search confirms the arms that it names, and nothing else.
        leaders = tuple(f"leader {i + 1}" for i in range(settings.leaders if study.searches else 0))
        named = tuple(arm.name for arm in file.arms)
        ordered = [arm.name for arm in file.arms if file.has_order(arm)]
        settings_of_named = {ordinary_with_settings_of(arm).text for arm in file.arms} - {_REFERENCE.text}
        plan = Plan(
            reference=NO_CURRICULUM,
            leaders=named + leaders,
            controls={leader: f"{leader} / exposure" for leader in (*ordered, *leaders)},
            baselines=tuple(name for name in study.baselines if name != NO_CURRICULUM),
            reference_variants=len(settings_of_named) + (len(leaders) if searches_settings(file.space) else 0),
            min_seeds=settings.min_seeds,
            max_seeds=settings.max_seeds,
            first_seed=file.search_seeds.stop,
        )
        return cls(
            small=file.small,
            full=file.base,
            proxy=bool(file.study.proxy),
            baselines=len(study.baselines) * study.seeds_per_trial if study.searches else 0,
            per_trial=study.seeds_per_trial,
            trials=study.trials,
            plan=plan if study.confirms else None,
            ablation=study.ablation_seeds * _most_steps_of(file) if study.confirms else 0,
        )

    @property
    def confirmation(self) -> int:
        """The least runs of the confirmation: every arm on `min_seeds` seeds."""
        return self.plan.least_runs if self.plan else 0

    @property
    def whole_confirmation(self) -> int:
        """Its runs where the leaders take all their seeds to be decided: what is kept back if the budget allows."""
        return self.plan.leading_runs(self.plan.max_seeds) if self.plan else 0

    @property
    def reserve(self) -> int:
        """The least full runs that have to follow the search."""
        return self.confirmation + self.ablation

    def experiment(self, size: Size) -> Experiment:
        """What the runs of a size train."""
        return self.small if size == "small" else self.full

    def images(self, size: Size) -> int:
        """Images of a run."""
        return self.experiment(size).training.total_images

    def gpus(self, size: Size) -> float:
        """GPUs that a run holds."""
        return self.experiment(size).resources.most_gpus

    @property
    def least_images(self) -> int:
        """Images of the baselines, one trial, the least confirmation and the ablation."""
        small = self.baselines + (self.per_trial if self.trials else 0)
        return small * self.images("small") + self.reserve * self.images("full")

    @property
    def least_parts(self) -> str:
        """What a study cannot do without, in words."""
        parts = [f"{self.baselines} baseline runs"] if self.baselines else []
        parts += ["one trial"] if self.trials else []
        parts += [f"the least confirmation ({self.confirmation} runs)"] if self.confirmation else []
        parts += [f"the ablation (up to {self.ablation} runs)"] if self.ablation else []
        return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))

    def sure_runs(self, file: StudyFile) -> Iterator[Run]:
        """Runs of the least confirmation that do not depend on what the search finds."""
        if self.plan is not None:
            for arm in (*file.baselines(), *file.arms):
                if arm.name != NO_CURRICULUM:
                    for seed in range(self.plan.first_seed, self.plan.first_seed + self.plan.min_seeds):
                        yield file.run(arm, seed)


def searches_settings(space: Space) -> bool:
    """Whether anything but the curriculum is searched, which ordinary training could have too."""
    return any(not of_curriculum(path) for path in space.parameters)


def _most_steps_of(file: StudyFile) -> int:
    """The same of a study, whose winner may be an arm that it names."""
    return max([most_steps(file.space), *(len(arm.values) + (ORDER not in arm.values) for arm in file.arms)])


def most_steps(space: Space) -> int:
    """The most steps of an ablation that need runs of their own: ordinary training at the base's settings, and one for
    each parameter that a configuration of the space can have, but for the last, which leads to the winner."""
    named = {other for distribution in space.parameters.values() for other in distribution.when}
    parents = Space(parameters={path: space.parameters[path] for path in space.order if path in named})

    def count(chosen: Mapping[str, Any]) -> int:
        return len(space.define(lambda path, d: chosen[path] if path in chosen else d.values(1)[0]))

    return max(map(count, itertools.islice(parents.grid(1), _MOST_BRANCHES))) + (ORDER not in space.parameters)
