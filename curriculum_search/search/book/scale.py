"""How large a study is: the runs of each of its parts, the least budget that it needs, and what of it has been run."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.search.arms import NO_CURRICULUM, of_curriculum
from curriculum_search.search.book.runs import ADOPTED, RunResult
from curriculum_search.search.checks import ORDER
from curriculum_search.search.execution.jobs import Status
from curriculum_search.search.sampling.space import Space
from curriculum_search.search.statistics.comparison import Plan
from curriculum_search.search.study import StudyFile
from curriculum_search.tracking import RunLog

#: Runs of the search are small, with the proxy's values; those of the confirmation and the ablation are full.
Size = Literal["small", "full"]
SIZES: tuple[Size, ...] = ("small", "full")
#: The fields of a study that limit what it costs.
Limit = Literal["max_images", "max_hours", "max_gpu_hours"]
LIMITS: tuple[Limit, ...] = ("max_images", "max_hours", "max_gpu_hours")

_MOST_BRANCHES = 10_000


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The runs of a study.

    Attributes:
        small, full: what its runs train, by size.
        baselines: runs of the baseline arms in the search.
        per_trial: runs of a trial.
        trials: that the search tries.
        plan: the confirmation, with as many leaders as it can have; None where there is none.
        ablation: the most runs that the ablation has where the winner is one of the search.
    """

    small: Experiment
    full: Experiment
    baselines: int
    per_trial: int
    trials: int
    plan: Plan | None
    ablation: int

    @classmethod
    def of(cls, file: StudyFile) -> "Scale":
        """The scale of a study."""
        study, settings = file.study, file.study.confirmation
        leaders = tuple(f"leader {i + 1}" for i in range(settings.leaders))
        plan = Plan(
            reference=NO_CURRICULUM,
            leaders=leaders,
            controls={leader: f"{leader} / exposure" for leader in leaders},
            baselines=tuple(name for name in study.baselines if name != NO_CURRICULUM),
            rivals=len(leaders) if searches_settings(file.space) else 0,
            min_seeds=settings.min_seeds,
            max_seeds=settings.max_seeds,
            first_seed=file.search_seeds.stop,
        )
        return cls(
            small=file.small,
            full=file.base,
            baselines=len(study.baselines) * study.seeds_per_trial,
            per_trial=study.seeds_per_trial,
            trials=study.trials,
            plan=plan if leaders else None,
            ablation=study.ablation_seeds * most_steps(file.space) if leaders else 0,
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
        resources = self.experiment(size).resources
        return resources.workers * resources.gpus_per_worker

    @property
    def least_images(self) -> int:
        """Images of the baselines, one trial, the least confirmation and the ablation."""
        small = self.baselines + (self.per_trial if self.trials else 0)
        return small * self.images("small") + self.reserve * self.images("full")

    @property
    def least_parts(self) -> str:
        """What a study cannot do without, in words."""
        parts = [f"{self.baselines} baseline runs"]
        parts += ["one trial"] if self.trials else []
        parts += [f"the least confirmation ({self.confirmation} runs)"] if self.confirmation else []
        parts += [f"the ablation (up to {self.ablation} runs)"] if self.ablation else []
        return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))

    def sure_runs(self, file: StudyFile) -> Iterator[Experiment]:
        """Runs of the least confirmation that do not depend on what the search finds."""
        if self.plan is not None:
            for arm in file.baselines():
                if arm.name != NO_CURRICULUM:
                    for seed in range(self.plan.first_seed, self.plan.first_seed + self.plan.min_seeds):
                        yield file.experiment(arm, seed)


def searches_settings(space: Space) -> bool:
    """Whether anything but the curriculum is searched, which ordinary training could have too."""
    return any(not of_curriculum(path) for path in space.parameters)


def most_steps(space: Space) -> int:
    """The most steps of an ablation that need runs of their own: ordinary training at the base's settings, and one for
    each parameter that a configuration of the space can have, but for the last, which leads to the winner."""
    named = {other for distribution in space.parameters.values() for other in distribution.when}
    parents = Space(parameters={path: space.parameters[path] for path in space.order if path in named})

    def count(chosen: Mapping[str, Any]) -> int:
        return len(space.define(lambda path, d: chosen[path] if path in chosen else d.values(1)[0]))

    return max(map(count, itertools.islice(parents.grid(1), _MOST_BRANCHES))) + (ORDER not in space.parameters)


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """A run that has a folder.

    Attributes:
        key: its identity.
        seed: of the run; None where a killed command has left its config half written.
        status: how it ended; None if it has not.
        images: that it has reported.
        gpu_seconds: GPUs times seconds, of a run that has ended.

    A run that was taken over from another study has cost this one nothing.
    """

    key: str
    seed: int | None
    status: Status | None
    images: int
    gpu_seconds: float


def recorded_runs(folder: Path) -> Iterator[RecordedRun]:
    """The runs of the study in `folder`, ended or not."""
    for run_dir in sorted((folder / "runs").glob("[!.]*")):
        try:
            config = json.loads((run_dir / "experiment.json").read_text())
        except (FileNotFoundError, ValueError):
            config = {}
        resources = config.get("resources", {"workers": 1, "gpus_per_worker": 0.0})
        result = RunResult.load(run_dir)
        if result is not None:
            images = result.images
        else:
            images = max(
                (r["images"] for r in RunLog(run_dir / "log.jsonl").read() if r["kind"] == "report"), default=0
            )
        gpus = resources["workers"] * resources["gpus_per_worker"]
        own = not (run_dir / ADOPTED).exists()
        yield RecordedRun(
            key=run_dir.name,
            seed=config.get("seed"),
            status=result.status if result else None,
            images=images if own else 0,
            gpu_seconds=result.seconds * gpus if result and own else 0.0,
        )


def check_limits(file: StudyFile) -> None:
    """Whether the limits that need no measuring let the study come to a verdict.

    Raises:
        UserError: `study.max_images` is too small, and how many images would do; or `study.max_gpu_hours` limits
            nothing.
    """
    scale, given = Scale.of(file), file.study.max_images
    if given is not None and given < scale.least_images:
        raise UserError(
            f"{file.path}: study.max_images: {given:,} is not enough for {scale.least_parts}, which need "
            f"{scale.least_images:,}; raise it to that at least, or lower base.training.total_images, "
            f"study.confirmation or study.ablation_seeds"
        )
    if file.study.max_gpu_hours is not None and not file.base.resources.gpus_per_worker:
        raise UserError(
            f"{file.path}: study.max_gpu_hours: {file.study.max_gpu_hours:g} limits nothing, for "
            f"base.resources.gpus_per_worker is 0; use study.max_hours, or give runs GPUs"
        )
