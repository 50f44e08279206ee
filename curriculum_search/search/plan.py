"""The dry run: what a study trains, what that costs beside its limits, and how long it takes."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich import box
from rich.table import Table

from curriculum_search.cli import show
from curriculum_search.duration import duration
from curriculum_search.experiment import Resources
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.cluster import Cluster
from curriculum_search.runs.workspace import make_tracker
from curriculum_search.search.arms import Run
from curriculum_search.search.budget import Limits, check_limits
from curriculum_search.search.design import SIZES, Size
from curriculum_search.search.driver import check_same_study, find_capacity, open_store
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.measure import Measured, measure
from curriculum_search.search.stopping import NoStopping
from curriculum_search.search.study import StudyFile
from curriculum_search.search.warm_start import check_warm_start
from curriculum_search.storage import as_it_stands


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
    folder = as_it_stands(root / file.study.name, cache_dir)
    check_same_study(folder, file)
    tracker = make_tracker(folder, root=root, name=file.study.name)  # of which nothing is asked
    ledger = Ledger(file, open_store(file, folder, tracker=tracker, cache_dir=cache_dir))
    parts = study_parts(ledger)
    with Cluster(dashboard=file.base.resources.in_group) as cluster:
        small = _pace(ledger, "small", cluster, root, cache_dir)
        full = _pace(ledger, "full", cluster, root, cache_dir) if file.study.proxy else small
    paces: dict[Size, Pace] = {"small": small, "full": full}
    show(_table(ledger, parts, paces))
    print(_total(ledger, parts, paces))
    for line in [*_limits(ledger, paces), *_paces(ledger, paces)]:
        print(line, flush=True)


def _pace(ledger: Ledger, size: Size, cluster: Cluster, root: Path, cache_dir: Path) -> Pace:
    capacity, at_once = find_capacity(cluster, ledger.file, size)
    measured = measure(ledger.file, size, concurrency=at_once, root=root, cache_dir=cache_dir, groups=cluster.groups)
    seconds = measured.run_seconds(ledger.design.experiment(size).training)
    return Pace(capacity=capacity, at_once=at_once, measured=measured, run_seconds=seconds)


def study_parts(ledger: Ledger) -> list[Part]:
    """The phases of a study with what is done of each."""
    file, design, study = ledger.file, ledger.design, ledger.file.study
    baselines = {run.key for run in _baseline_runs(file)}
    ended = [record for record in ledger.store.records.values() if record.settled]
    of_search = [record for record in ended if record.seed in file.search_seeds]
    trials = [record for record in of_search if record.key not in baselines]
    runs = design.baselines + study.trials * design.per_trial
    parts = []
    if study.searches:
        parts.append(
            Part(
                name="search",
                arms=f"{_count(study.trials, 'trial')}, {_count(len(study.baselines), 'baseline')}"
                + (f", {study.seeds_per_trial} seeds each" if study.seeds_per_trial > 1 else ""),
                size="small",
                least=runs,
                most=runs,
                done=len(of_search) - len(trials) + min(len(trials), study.trials * design.per_trial),
            )
        )
    if design.plan is not None:
        leaders = len(design.plan.leaders) - len(file.arms)
        arms = [_count(len(file.arms), "named arm")] if file.arms else []
        arms += [_count(leaders, "leader")] if leaders or not arms else []
        parts.append(
            Part(
                name="confirmation",
                arms=f"{', '.join(arms)}, {_count(len(design.plan.controls), 'control')}, "
                f"{_count(len(study.baselines), 'baseline')}"
                + (", ordinary training with their settings" if design.plan.reference_variants else ""),
                size="full",
                least=design.plan.least_runs,
                most=design.plan.most_runs,
                done=min(len(ended) - len(of_search), design.plan.most_runs),
            )
        )
    if design.ablation:
        steps = _count(design.ablation // study.ablation_seeds, "step")
        parts.append(Part(name="ablation", arms=f"up to {steps}", size="full", least=0, most=design.ablation, done=0))
    return parts


def _baseline_runs(file: StudyFile) -> list[Run]:
    arms = file.baselines(small=True) if file.study.searches else []
    return [file.run(arm, seed, small=True) for arm in arms for seed in file.search_seeds]


def _table(ledger: Ledger, parts: Sequence[Part], paces: dict[Size, Pace]) -> Table:
    title = f"{ledger.file.study.name}: what this study trains"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    begun = any(part.done for part in parts)
    table.add_column("phase", no_wrap=True)
    table.add_column("arms")  # the only one that gives way where the terminal is narrow
    for head in ("runs", "done", "images", "time left" if begun else "time"):
        if begun or head != "done":
            table.add_column(head, justify="right", no_wrap=True)
    for part in parts:
        images = ledger.design.images(part.size)
        table.add_row(
            part.name,
            part.arms,
            _range(f"{part.least}", f"{part.most}"),
            *([f"{part.done}"] if begun else []),
            _range(_short(part.least * images), _short(part.most * images)),
            _range(*map(duration, _seconds(part, paces))),
        )
    return table


def _total(ledger: Ledger, parts: Sequence[Part], paces: dict[Size, Pace]) -> str:
    least, most = sum(part.least for part in parts), sum(part.most for part in parts)
    images = [
        _short(sum(count * ledger.design.images(part.size) for part, count in zip(parts, counts, strict=True)))
        for counts in ([part.least for part in parts], [part.most for part in parts])
    ]
    time = _range(*(duration(sum(ends)) for ends in zip(*(_seconds(part, paces) for part in parts), strict=True)))
    words = f"All of it: {_range(str(least), str(most))} runs, {_range(*images)} images; about {time} from here"
    if ledger.file.study.searches and not isinstance(ledger.file.study.rule, NoStopping):
        words += "; trials that are stopped early take less"
    return words


def _seconds(part: Part, paces: dict[Size, Pace]) -> tuple[float, float]:
    """Expected time for the least and the most of what is left of a part."""
    pace = paces[part.size]
    return pace.seconds(part.least - part.done), pace.seconds(part.most - part.done)


def _limits(ledger: Ledger, paces: dict[Size, Pace]) -> list[str]:
    """For each limit, what of it is spent and how many trials it is enough for."""
    file, study, records = ledger.file, ledger.file.study, ledger.store.records
    for size in SIZES:
        ledger.set_concurrency(size, paces[size].at_once)
        ledger.expect(size, paces[size].run_seconds)
    baselines = _baseline_runs(file)
    keys = {run.key for run in baselines}
    tried = sum(r.seed in file.search_seeds and r.key not in keys for r in records.values()) // study.seeds_per_trial
    waiting = [ledger.rest(run) for run in baselines if run.key not in records or records[run.key].status is None]
    spent = {
        "max_images": f"{ledger.images:,} spent",
        "max_hours": f"{ledger.seconds / 3600:.2f} spent",
        "max_gpu_hours": f"{ledger.gpu_seconds / 3600:.2f} spent",
    }
    lines = []
    for name, limit in asdict(ledger.limits).items():
        if limit is None:
            continue
        budget = replace(ledger.budget, limits=Limits(**{name: limit}))
        if name == "max_images":  # Only time ends a phase for good.
            budget = replace(budget, account=replace(budget.account, closed=frozenset()))
        most = tried + budget.trials_left(waiting, study.trials - tried)
        given = f"{limit:,}" if name == "max_images" else f"{limit:g}"
        if study.searches:
            enough = f"all {study.trials} trials" if most >= study.trials else f"{most} of {study.trials} trials"
            words = f"enough for {enough}" if most else "not enough for one trial"
            words += ", and what comes after"
        else:
            left = budget.runs_left()
            words = f"enough for {'any number of' if left is None else left} more runs"
        lines.append(f"study.{name}: {given} ({spent[name]}): {words}")
    return lines


def _paces(ledger: Ledger, paces: dict[Size, Pace]) -> list[str]:
    """What the cluster has room for, and what was measured there."""
    lines, proxy = [], ledger.file.study.proxy
    for size in SIZES if proxy else SIZES[:1]:
        which = {"small": " (search)", "full": " (confirmation)"}[size] if proxy else ""
        pace, experiment = paces[size], ledger.design.experiment(size)
        capacity, measured, resources = pace.capacity, pace.measured, experiment.resources
        gpus = f" and {resources.gpus_per_worker:g} GPU" if resources.gpus_per_worker else ""
        lines.append(
            f"Cluster{which}: {_count(capacity.nodes, 'node')}, {capacity.cpus:g} CPUs, "
            f"{capacity.gpus:g} GPUs: {_count(pace.at_once, 'run')} at once, of "
            f"{_workers(resources)} with {_count(resources.cpus_per_worker, 'CPU')}{gpus} each"
        )
        evaluations = _count(experiment.training.num_evaluations, "evaluation")
        lines.append(
            f"Measured{which}: a run takes {duration(pace.run_seconds)}: "
            f"{1000 * measured.per_image:.3g} ms an image, {evaluations} of {measured.evaluation:.2g} s "
            f"(the last {measured.final:.2g} s), {measured.start:.2g} s to start "
            f"({measured.first_start:.2g} s the first time)"
        )
    return lines


def _workers(resources: Resources) -> str:
    if resources.fewest_workers == resources.most_workers:
        return _count(resources.most_workers, "worker")
    return f"{resources.fewest_workers} to {resources.most_workers} workers"


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
