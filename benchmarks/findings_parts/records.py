"""What is kept of the runs: findings.json, with the final values of every run, whatever becomes of results/."""

import json
import math
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from findings_parts.contexts import LEARNING_RATES, ROOT, Context, read_rates

from curriculum_search.atomic import write_whole
from curriculum_search.commands.difficulty import measure_difficulty
from curriculum_search.difficulty import ConvergenceStudy, EntropyStudy
from curriculum_search.direction import Direction
from curriculum_search.loading import to_yaml
from curriculum_search.runs.job import Status
from curriculum_search.search.arms import title
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.reading import read_folder
from curriculum_search.search.statistics.comparison import Plan

RECORDS = ROOT / "benchmarks" / "findings.json"
#: Of the records.
CONTEXTS, SEARCHES, DIFFICULTY = "contexts", "searches", "difficulty"

#: Models by interval of noise levels, images of each, and seeds, of the measurement of difficulty.
INTERVALS, DIFFICULTY_IMAGES, DIFFICULTY_SEEDS = 8, 16384, range(5)
_CURVE_DIGITS = 6

Records = dict[str, dict[str, Any]]


def read_records(path: Path = RECORDS) -> Records:
    """What has been gathered: contexts, searches and difficulties, each by context."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    return {part: kept.get(part, {}) for part in (CONTEXTS, SEARCHES, DIFFICULTY)}


def keep(part: str, name: str, record: Mapping[str, Any], path: Path = RECORDS) -> None:
    """Write one record down beside the others: an arm of a context a line."""
    records = read_records(path)
    records[part][name] = _finite(record)
    write_whole(path, _lines(records) + "\n")


def read_arms(folder: Path) -> dict[str, Any] | None:
    """The confirmation of a finished study: what was compared, and of each run its final values and its curve.

    None where the study has not ended, or some of its runs failed.
    """
    if not folder.exists():
        return None
    with read_folder(folder) as study:
        confirmation = study.confirmation
        results = {name: confirmation.results(name) for name in confirmation.arms}
        failed = any(result.status.is_failure for runs in results.values() for result in runs.values())
        if study.unfinished is not None or failed:
            return None
        searched = study.search.ended_runs()
        ended = [result for runs in results.values() for result in runs.values()]
        file = confirmation.file
        metrics = (file.study.objective, *file.second_opinions())
        return {
            **_made(),
            "learning_rate": file.base.training.learning_rate,
            "images": file.base.training.total_images,
            "metrics": list(metrics),
            "plan": asdict(confirmation.plan) | {"direction": str(confirmation.plan.direction)},
            "runs": {"arms": len(ended), "search": len(searched)},
            "images_of_all": sum(result.images for result in [*ended, *(result for _, result in searched)]),
            "hours": round(sum(result.seconds for result in [*ended, *(r for _, r in searched)]) / 3600, 3),
            "at": confirmation.curve(confirmation.plan.reference, confirmation.plan.first_seed).columns(metrics[0])[0],
            "arms": {name: _arm(confirmation, name, metrics) for name in results},
        }


def _arm(confirmation: ConfirmationPhase, name: str, metrics: tuple[str, ...]) -> dict[str, Any]:
    first = confirmation.run(name, confirmation.plan.first_seed)
    runs = {}
    for seed, result in confirmation.results(name).items():
        ends = [result.metrics[m] if result.status is Status.FINISHED else None for m in metrics]
        _, curve = confirmation.curve(name, seed).columns(metrics[0])
        runs[str(seed)] = [*ends, [float(f"{value:.{_CURVE_DIGITS}g}") for value in curve]]
    return {"title": title(first.arm, first.experiment), "runs": runs}


def plan_of(record: Mapping[str, Any]) -> Plan:
    """The comparison that a study made, as it was fixed before its first run."""
    kept = dict(record["plan"])
    for name in ("leaders", "baselines"):
        kept[name] = tuple(kept[name])
    return Plan(**kept | {"direction": Direction(kept["direction"])})


def values_of(record: Mapping[str, Any], metric: str) -> dict[str, dict[int, float]]:
    """Arm to seed to the final value of a metric; NaN where the run diverged."""
    column = record["metrics"].index(metric)
    return {
        arm: {int(seed): math.nan if run[column] is None else run[column] for seed, run in kept["runs"].items()}
        for arm, kept in record["arms"].items()
    }


def curves_of(record: Mapping[str, Any]) -> dict[str, dict[int, tuple[list[int], list[float]]]]:
    """Arm to seed to the learning curve of the deciding metric, of the runs that came to their end."""
    return {
        arm: {int(seed): (record["at"], run[-1]) for seed, run in kept["runs"].items() if run[0] is not None}
        for arm, kept in record["arms"].items()
    }


def keep_rate(context: Context, folder: Path) -> None:
    """Write down the learning rate at which ordinary training has the best mean, beside what was tried."""
    with read_folder(folder) as study:
        objective, direction = study.search.file.study.objective, study.search.file.direction
        tried = {
            candidate.run.experiment.training.learning_rate: [result.metrics[objective] for result in candidate.results]
            for candidate in study.search.finished()
        }
    best = direction.best(tried, lambda rate: math.fsum(tried[rate]) / len(tried[rate]))
    found = {"learning_rate": best, "metric": objective, "values": {f"{r:g}": tried[r] for r in sorted(tried)}}
    rates = read_rates() | {context.name: found}
    head = "# Generated by benchmarks/findings.py --only learning-rates: ordinary training, its final values by seed.\n"
    write_whole(LEARNING_RATES, head + to_yaml(rates))


def measured_difficulty(context: Context, *, root: Path, cache_dir: Path) -> dict[str, Any]:
    """How hard the levels of a context are by the convergence of one model for each interval, on several seeds.

    Returns:
        ``edges`` over the noise quantile, ``images`` of each model, and by seed the ``difficulty`` of each interval,
        with a mean of 1.
    """
    base = context.study().base
    found: dict[str, list[float]] = {}
    for seed in DIFFICULTY_SEEDS:
        result = measure_difficulty(
            replace(base, seed=seed, training=replace(base.training, total_images=DIFFICULTY_IMAGES)),
            {},
            where=context.name,
            root=root,
            cache_dir=cache_dir,
            convergence=ConvergenceStudy(num_intervals=INTERVALS),
            entropy=EntropyStudy(seed=seed),
        )
        found[str(seed)] = list(result.file.convergence.values)
        edges = list(result.file.convergence.edges)
    return {**_made(), "images": DIFFICULTY_IMAGES, "edges": edges, "difficulty": found}


def _made() -> dict[str, str]:
    """By what the runs were made."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {"commit": done.stdout.strip()[:12], "torch": torch.__version__}


def _lines(value: Any, depth: int = 0) -> str:
    """JSON, of which mappings are broken into lines down to a run's arm."""
    if not (isinstance(value, dict) and value) or depth > 3:
        return json.dumps(value)
    indent = " " * (depth + 1)
    inner = ",\n".join(f"{indent}{json.dumps(name)}: {_lines(item, depth + 1)}" for name, item in value.items())
    return f"{{\n{inner}\n{' ' * depth}}}"


def _finite(value: Any) -> Any:
    """Numbers that JSON has; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
