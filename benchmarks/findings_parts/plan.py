"""What all of it takes: runs, images and hours by context, from a few training steps of each kind of run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from findings_parts.contexts import Context, read_rates
from findings_parts.records import (
    CONTEXTS,
    DIFFICULTY,
    DIFFICULTY_IMAGES,
    DIFFICULTY_SEEDS,
    INTERVALS,
    SEARCHES,
    Records,
    read_records,
)
from rich import box
from rich.table import Table

from curriculum_search.cli import show
from curriculum_search.runs.cluster import Cluster
from curriculum_search.search.design import Design
from curriculum_search.search.driver import find_capacity
from curriculum_search.search.measure import Measured, measure
from curriculum_search.search.study import StudyFile


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is left of a context: the least and the most runs of its parts.

    Attributes:
        rate, arms, search: runs of the context's length.
        difficulty: runs of the measurement of difficulty, which are shorter.
    """

    rate: tuple[int, int]
    difficulty: tuple[int, int]
    arms: tuple[int, int]
    search: tuple[int, int]

    @classmethod
    def of(cls, context: Context, rates: Mapping[str, object], records: Records) -> "Left":
        """What is left where so much has been kept.  Runs of a study that has begun count as left."""
        rate = context.rates()
        known = replace(context, learning_rate=context.learning_rate or rate.base.training.learning_rate)
        tried = rate.study.trials * rate.study.seeds_per_trial + rate.study.seeds_per_trial
        levels = INTERVALS * len(DIFFICULTY_SEEDS)
        nothing = (0, 0)
        return cls(
            rate=nothing if context.name in rates else (tried, tried),
            difficulty=(levels, levels)
            if context.measures_difficulty and context.name not in records[DIFFICULTY]
            else nothing,
            arms=nothing if context.name in records[CONTEXTS] else _runs(known.study()),
            search=_runs(known.search()) if context.is_searched and context.name not in records[SEARCHES] else nothing,
        )

    @property
    def whole(self) -> tuple[int, int]:
        """Runs of the context's length."""
        least, most = (sum(ends) for ends in zip(self.rate, self.arms, self.search, strict=True))
        return least, most


def _runs(file: StudyFile) -> tuple[int, int]:
    """The least and the most runs of a study."""
    design = Design.of(file)
    searched = design.baselines + file.study.trials * design.per_trial if file.study.searches else 0
    assert design.plan is not None
    return searched + design.plan.least_runs, searched + design.plan.most_runs


def show_plan(contexts: Sequence[Context], *, root: Path, cache_dir: Path) -> None:
    """Print what is left of each context, and how long it lasts on the cluster that is there.

    Args:
        contexts: in the order in which they are run.
        root: the folder of all results, in which nothing of this stays.
        cache_dir: where reference statistics are kept.
    """
    table = Table(title="findings: runs that are left", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("context", "learning rate", "difficulty", "arms", "search", "images", "hours"):
        table.add_column(head, justify="left" if head == "context" else "right", no_wrap=True)
    paces: dict[str, tuple[Measured, int]] = {}
    hours = [0.0, 0.0]
    rates, records = read_rates(), read_records()
    with Cluster(dashboard=False) as cluster:
        for context in contexts:
            left, file = Left.of(context, rates, records), context.rates()
            kind = _kind(file)
            if kind not in paces:
                at_once = find_capacity(cluster, file, "full")[1]
                pace = measure(file, "full", concurrency=at_once, root=root, cache_dir=cache_dir, groups=cluster.groups)
                paces[kind] = pace, at_once
            measured, at_once = paces[kind]
            training = file.base.training
            short = replace(training, total_images=DIFFICULTY_IMAGES)
            pairs = [*zip(left.whole, left.difficulty, strict=True)]
            images = [whole * training.total_images + part * DIFFICULTY_IMAGES for whole, part in pairs]
            seconds = [
                whole * measured.run_seconds(training) + part * measured.run_seconds(short) for whole, part in pairs
            ]
            took = [second / at_once / 3600 for second in seconds]
            hours = [sum(both) for both in zip(hours, took, strict=True)]
            runs = [_range(part) for part in (left.rate, left.difficulty, left.arms, left.search)]
            table.add_row(context.name, *runs, _range([f"{i / 1e6:.1f} M" for i in images]), _hours(took))
    show(table)
    print(f"All of it: about {_hours(hours)} hours from here, {at_once} runs at once", flush=True)


def _kind(file: StudyFile) -> str:
    """Contexts of one kind have the same steps and evaluations, and differ in how many."""
    plain = file.base.to_dict()
    return json.dumps([plain[part] for part in ("data", "model", "evaluation")])


def _range(ends: Sequence[object]) -> str:
    least, most = map(str, ends)
    return least if least == most else f"{least} to {most}"


def _hours(hours: Sequence[float]) -> str:
    return _range([f"{number:.2f}" for number in hours])
