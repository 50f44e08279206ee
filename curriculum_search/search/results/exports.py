"""What a study exports: the best config, and beside a curriculum its exposure alone where that may do as well."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curriculum_search.export import BEST, CURRICULUM, DENSITY, DENSITY_CURRICULUM, write_best
from curriculum_search.report import VerdictLayers
from curriculum_search.runs.job import Status
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.store import RunStore
from curriculum_search.search.arms import Run
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.statistics.verdict import Verdict
from curriculum_search.search.study import StudyFile

#: A run that stands for its arm, and how it ended.
Standing = tuple[Run, RunResult]


def first_finished(confirmation: ConfirmationPhase, arm: str) -> Standing | None:
    """The first run of a confirmed arm that came to its end."""
    for seed, result in confirmation.results(arm).items():
        if result.status is Status.FINISHED:
            return confirmation.run(arm, seed), result
    return None


def density_beside(confirmation: ConfirmationPhase, verdict: Verdict | None, best: Run) -> Standing | None:
    """The leader's exposure-matched control, where the leader is exported and the control is not shown to be worse."""
    if verdict is None or verdict.control is None or best.arm.name != verdict.arm:
        return None
    return first_finished(confirmation, verdict.control)


def export(
    file: StudyFile,
    store: RunStore,
    best: Standing,
    density: Standing | None,
    layers: VerdictLayers,
    values: Mapping[str, Any],
) -> list[Path]:
    """Write ``best.yaml`` and ``curriculum.json``, and the density's two files, or remove those of an earlier verdict.

    Args:
        file: the study file.
        store: the study's runs.
        best: what is exported.
        density: what is exported beside it.
        layers: the verdict, which every file tells.
        values: arm to seed to value, as evidence.

    Returns:
        The files, ``best.yaml`` and ``curriculum.json`` first.
    """
    paths: list[Path] = []
    for standing, names in ((best, (BEST, CURRICULUM)), (density, (DENSITY, DENSITY_CURRICULUM))):
        if standing is None:
            for name in names:
                (store.root / name).unlink(missing_ok=True)
            continue
        run, result = standing
        value = result.metrics[file.study.objective]
        evidence = {
            "study": file.study.name,
            "objective": file.study.objective,
            "arm": run.arm.name,
            "seed": run.experiment.seed,
            "value": value,
            "verdict": {"headline": layers.headline, **layers.lines, "fine print": " ".join(layers.fine_print)},
            "values": values,
        }
        comment = _comment(file, run, value, layers, names[0])
        paths += write_best(
            store.root, run.experiment, file.plugins, comment=comment, evidence=_finite(evidence), names=names
        )
    return paths


def _comment(file: StudyFile, run: Run, value: float, layers: VerdictLayers, name: str) -> str:
    experiment = run.experiment
    what = (
        f"Constant density of study {file.study.name} with the exposure of {run.arm.control_of}, in no order"
        if name == DENSITY
        else f"Best config of study {file.study.name}: {experiment.describe()} ({run.arm.name})"
    )
    return (
        f"{what}.\n\n{layers.plain()}\n\n"
        f"python jobs/train.py {name}    ends at {file.study.objective} = {value!r}\n"
        f"(on the same kind of machine, with seed {experiment.seed}; digit for digit on a CPU)"
    )


def _finite(value: Any) -> Any:
    """Numbers that JSON has; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
