"""The dry run: what a study trains, what that costs beside its limits, and how long it takes."""

import math
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from curriculum_search.cli import show
from curriculum_search.experiment import Experiment
from curriculum_search.search.book.budget import Budget
from curriculum_search.search.book.scale import LIMITS, SIZES, Scale, Size, check_limits, recorded_runs
from curriculum_search.search.driver import check_same_study, room
from curriculum_search.search.execution.cluster import Cluster
from curriculum_search.search.execution.executor import Capacity
from curriculum_search.search.execution.jobs import Status
from curriculum_search.search.execution.measure import Measured, measure
from curriculum_search.search.stopping import NoStopping
from curriculum_search.search.study import StudyFile
from curriculum_search.search.warm import check_warm_start


@dataclass(frozen=True, kw_only=True)
class Part:
    """A phase of the plan.

    Attributes:
        name: of the phase.
        arms: what it trains, in words.
        size: of its runs.
        least, most: runs.
        done: runs that have ended.
    """

    name: str
    arms: str
    size: Size
    least: int
    most: int
    done: int


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast the runs of a size go by.

    Attributes:
        capacity: what the cluster has room for.
        at_once: runs of the study at the same time.
        measured: where the time of a run goes.
        run_seconds: of a whole run.
    """

    capacity: Capacity
    at_once: int
    measured: Measured
    run_seconds: float

    def seconds(self, runs: int) -> float:
        """For so many runs, the first of which have to be waited for longer."""
        first = self.measured.first_start - self.measured.start
        return math.ceil(runs / self.at_once) * self.run_seconds + first if runs > 0 else 0.0


def show_plan(file: StudyFile, *, root: Path, cache_dir: Path) -> None:
    """Print the plan of a study, or of what is left of it, after timing a few training steps on its cluster.

    Nothing is written to the study's folder nor to MLflow.

    Args:
        file: the study file.
        root: the folder of all results.
        cache_dir: where reference statistics are kept between studies.

    Raises:
        UserError: what would keep the study from starting.
    """
    check_limits(file)
    check_warm_start(file)
    folder = root / file.study.name
    check_same_study(folder, file)
    parts = study_parts(file, folder)
    with Cluster(file.base.resources) as cluster:
        small = _pace(file, "small", cluster, root, cache_dir)
        full = _pace(file, "full", cluster, root, cache_dir) if file.study.proxy else small
    paces: dict[Size, Pace] = {"small": small, "full": full}
    show(_table(file, parts, paces))
    print(_total(file, parts, paces))
    for line in [*_limits(file, folder, paces), *_paces(file, paces)]:
        print(line, flush=True)


def _pace(file: StudyFile, size: Size, cluster: Cluster, root: Path, cache_dir: Path) -> Pace:
    capacity, at_once = room(cluster, file, size)
    measured = measure(file, size, concurrency=at_once, root=root, cache_dir=cache_dir)
    seconds = measured.run_seconds(Scale.of(file).experiment(size).training)
    return Pace(capacity=capacity, at_once=at_once, measured=measured, run_seconds=seconds)


def study_parts(file: StudyFile, folder: Path) -> list[Part]:
    """The phases of a study with what is done of each."""
    scale, study = Scale.of(file), file.study
    baselines = {run.identity() for run in _baseline_runs(file)}
    ended = [run for run in recorded_runs(folder) if run.status not in (None, Status.FAILED)]
    of_search = [run for run in ended if run.seed in file.search_seeds]
    trials = [run for run in of_search if run.key not in baselines]
    parts = [
        Part(
            name="search",
            arms=f"{_count(study.trials, 'trial')}, {_count(len(study.baselines), 'baseline')}"
            + (f", {study.seeds_per_trial} seeds each" if study.seeds_per_trial > 1 else ""),
            size="small",
            least=scale.baselines + study.trials * scale.per_trial,
            most=scale.baselines + study.trials * scale.per_trial,
            done=len(of_search) - len(trials) + min(len(trials), study.trials * scale.per_trial),
        )
    ]
    if scale.plan is not None:
        leaders = len(scale.plan.leaders)
        parts.append(
            Part(
                name="confirmation",
                arms=f"{_count(leaders, 'leader')}, {_count(leaders, 'control')}, "
                f"{_count(len(study.baselines), 'baseline')}"
                + (", ordinary training with their settings" if scale.plan.rivals else ""),
                size="full",
                least=scale.plan.least_runs,
                most=scale.plan.most_runs,
                done=min(len(ended) - len(of_search), scale.plan.most_runs),
            )
        )
    if scale.ablation:
        steps = _count(scale.ablation // study.ablation_seeds, "step")
        parts.append(Part(name="ablation", arms=f"up to {steps}", size="full", least=0, most=scale.ablation, done=0))
    return parts


def _baseline_runs(file: StudyFile) -> list[Experiment]:
    arms = file.baselines(small=True)
    return [file.experiment(arm, seed, small=True) for arm in arms for seed in file.search_seeds]


def _table(file: StudyFile, parts: list[Part], paces: dict[Size, Pace]) -> Table:
    title = f"{file.study.name}: what this study trains"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    begun = any(part.done for part in parts)
    table.add_column("phase", no_wrap=True)
    table.add_column("arms")  # the only one that gives way where the terminal is narrow
    for head in ("runs", "done", "images", "time left" if begun else "time"):
        if begun or head != "done":
            table.add_column(head, justify="right", no_wrap=True)
    for part in parts:
        images = Scale.of(file).images(part.size)
        table.add_row(
            part.name,
            part.arms,
            _range(f"{part.least}", f"{part.most}"),
            *([f"{part.done}"] if begun else []),
            _range(_short(part.least * images), _short(part.most * images)),
            _range(*map(_duration, _seconds(part, paces))),
        )
    return table


def _total(file: StudyFile, parts: list[Part], paces: dict[Size, Pace]) -> str:
    scale = Scale.of(file)
    runs = _range(*(str(sum(getattr(part, end) for part in parts)) for end in ("least", "most")))
    images = _range(
        *(_short(sum(getattr(part, end) * scale.images(part.size) for part in parts)) for end in ("least", "most"))
    )
    time = _range(*(_duration(sum(ends)) for ends in zip(*(_seconds(part, paces) for part in parts), strict=True)))
    words = f"All of it: {runs} runs, {images} images; about {time} from here"
    if not isinstance(file.study.rule, NoStopping):
        words += "; trials that are stopped early take less"
    return words


def _seconds(part: Part, paces: dict[Size, Pace]) -> tuple[float, float]:
    """Expected time for the least and the most of what is left of a part."""
    pace = paces[part.size]
    return pace.seconds(part.least - part.done), pace.seconds(part.most - part.done)


def _limits(file: StudyFile, folder: Path, paces: dict[Size, Pace]) -> list[str]:
    """For each limit, what of it is spent and how many trials it is enough for."""
    lines, study = [], file.study
    recorded = list(recorded_runs(folder))
    ended = {run.key for run in recorded if run.status is not None}
    baselines = _baseline_runs(file)
    names = {run.identity() for run in baselines}
    tried = sum(run.seed in file.search_seeds and run.key not in names for run in recorded) // study.seeds_per_trial
    for name in LIMITS:
        limit = getattr(study, name)
        if limit is None:
            continue
        budget = Budget(file, folder, limits=(name,))
        for size in SIZES:
            budget.place(size, paces[size].at_once)
            budget.expect(size, paces[size].run_seconds)
        left = budget.trials_left([run for run in baselines if run.identity() not in ended], study.trials - tried)
        spent = {
            "max_images": f"{budget.images:,} spent",
            "max_hours": f"{budget.seconds / 3600:.2f} spent",
            "max_gpu_hours": f"{budget.gpu_seconds / 3600:.2f} spent",
        }[name]
        given = f"{limit:,}" if name == "max_images" else f"{limit:g}"
        most = tried + left
        enough = f"all {study.trials} trials" if most >= study.trials else f"{most} of {study.trials} trials"
        words = f"enough for {enough}" if most else "not enough for one trial"
        lines.append(f"study.{name}: {given} ({spent}): {words}, and what comes after")
    return lines


def _paces(file: StudyFile, paces: dict[Size, Pace]) -> list[str]:
    """What the cluster has room for, and what was measured there."""
    lines, scale = [], Scale.of(file)
    for size in SIZES if file.study.proxy else SIZES[:1]:
        which = {"small": " (search)", "full": " (confirmation)"}[size] if file.study.proxy else ""
        pace, experiment = paces[size], scale.experiment(size)
        capacity, measured, resources = pace.capacity, pace.measured, experiment.resources
        gpus = f" and {resources.gpus_per_worker:g} GPU" if resources.gpus_per_worker else ""
        lines.append(
            f"Cluster{which}: {_count(capacity.nodes, 'node')}, {capacity.cpus:g} CPUs, "
            f"{capacity.gpus:g} GPUs: {_count(pace.at_once, 'run')} at once, of "
            f"{_count(resources.workers, 'worker')} with {_count(resources.cpus_per_worker, 'CPU')}{gpus} each"
        )
        evaluations = _count(experiment.training.num_evaluations, "evaluation")
        lines.append(
            f"Measured{which}: a run takes {_duration(pace.run_seconds)}: "
            f"{1000 * measured.per_image:.3g} ms an image, {evaluations} of {measured.evaluation:.2g} s "
            f"(the last {measured.final:.2g} s), {measured.start:.2g} s to start "
            f"({measured.first_start:.2g} s the first time)"
        )
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _range(least: str, most: str) -> str:
    """Both, with a unit that they share said once."""
    number, _, unit = least.partition(" ")
    return least if least == most else f"{number if most.partition(' ')[2] == unit else least} to {most}"


def _short(images: float) -> str:
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if images >= unit:
            return f"{images / (1e3 if name == ' k' else unit):.3g}{name}"
    return f"{images:,.0f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
