"""What a finished study leaves: the verdict, a table, figures, the best config, and all of it in MLflow."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich
from matplotlib.figure import Figure

from curriculum_search.experiment import Experiment
from curriculum_search.export import BEST, curriculum_of, write_best
from curriculum_search.loading import UserError
from curriculum_search.report import (
    Row,
    StageHistory,
    convergence,
    markdown_table,
    terminal_table,
    unlocked,
    unlocked_levels,
    write_report,
)
from curriculum_search.search.arms import describe, title
from curriculum_search.search.confirm import ConfirmationPhase, is_ordinary
from curriculum_search.search.jobs import Status
from curriculum_search.search.phases import Entry, SearchPhase
from curriculum_search.search.runs import Curve, RunBook, RunResult
from curriculum_search.search.study import StudyFile
from curriculum_search.search.verdict import Verdict, judge
from curriculum_search.tracking import STUDY

_LISTED = 5  # searched configs in the table


class StudyFailedError(UserError):
    """Not one run of the search came to its end."""

    def __init__(self, search: SearchPhase) -> None:
        reasons = [
            f"  {entry.arm.name}: {result.status.value}: {result.reason}" for entry, result in search.ended_runs()
        ]
        super().__init__("\n".join([f"no run of study {search.file.study.name} came to its end:", *reasons[:5]]))


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study came to.

    Attributes:
        best: the experiment that is exported, with the seed of the run that stands for it.
        arm: its arm's name.
        value: the objective of that run.
        verdict: of the confirmation; None where the study has none.
        sentence: the verdict in words.
        best_path: the exported experiment.
        curriculum_path: the exported curriculum.
    """

    best: Experiment
    arm: str
    value: float
    verdict: Verdict | None
    sentence: str
    best_path: Path
    curriculum_path: Path

    def tracked_metrics(self, objective: str) -> dict[str, float]:
        """What stands for the study in MLflow's table."""
        metrics = {f"best_{objective}": self.value}
        if self.verdict is not None and self.verdict.main is not None:
            metrics |= {"difference": self.verdict.main.difference, "p_value": self.verdict.main.p_value}
        return metrics


def publish(file: StudyFile, book: RunBook, search: SearchPhase, confirmation: ConfirmationPhase) -> StudyResult:
    """Judge a finished study, write its files, log them to MLflow, and print the table."""
    objective = file.study.objective
    verdict = _verdict(file, book, confirmation)
    entry, result = _best(search, confirmation, verdict)
    value = result.metrics[objective]
    sentence = (
        verdict.sentence
        if verdict is not None
        else (
            f"{entry.arm.name} came out best of one seed each; nothing was confirmed (study.confirmation.leaders is 0)."
        )
    )
    comment = _comment(file, entry, value, sentence)
    evidence = {
        "study": file.study.name,
        "objective": objective,
        "arm": entry.arm.name,
        "seed": entry.experiment.seed,
        "value": value,
        "verdict": sentence,
        "values": confirmation.values(objective) if verdict is not None else {},
    }
    best_path, curriculum_path = write_best(
        book.root, entry.experiment, file.plugins, comment=comment, evidence=_finite(evidence)
    )
    rows = _rows(file, search, confirmation)
    figures = _figures(file, book, search, confirmation)
    report = write_report(
        book.root / "report.md",
        title=f"Study {file.study.name}",
        sections={
            "": sentence,
            "Arms": markdown_table(rows, metric=objective, higher_is_better=file.direction == "maximize"),
            "Best config": f"`python jobs/train.py {best_path}` trains it again and ends at {objective} = {value!r}.",
        },
        figures=figures,
    )
    for path in (best_path, curriculum_path, report, *figures.values()):
        book.tracker.log_artifact(STUDY, path, folder="figures" if path in figures.values() else "")
    book.tracker.set_tags(
        STUDY, {"verdict": sentence, "mlflow.note.content": sentence, "best": describe(entry.experiment.curriculum)}
    )
    heading = f"{file.study.name}: {objective} at the end, mean ± sd (seeds)"
    rich.print(terminal_table(rows, metric=objective, higher_is_better=file.direction == "maximize", title=heading))
    print(f"Verdict: {sentence}")
    print(f"Best config:  {best_path}\n              trains with: python jobs/train.py {best_path}")
    print(f"Curriculum:   {curriculum_path} (for other training code)")
    print(f"Figures:      {report}")
    print(f"MLflow:       {book.tracker.page()}", flush=True)
    return StudyResult(
        best=entry.experiment,
        arm=entry.arm.name,
        value=value,
        verdict=verdict,
        sentence=sentence,
        best_path=best_path,
        curriculum_path=curriculum_path,
    )


def _verdict(file: StudyFile, book: RunBook, confirmation: ConfirmationPhase) -> Verdict | None:
    if file.study.confirmation.leaders == 0:
        return None
    objective = file.study.objective
    return judge(
        confirmation.plan,
        confirmation.values(objective),
        metric=objective,
        others={metric: confirmation.values(metric) for metric in file.second_opinions()},
        curves={
            arm: {
                seed: confirmation.curve(arm, seed).columns(objective)
                for seed, result in confirmation.results(arm).items()
                if result.status is Status.FINISHED
            }
            for arm in confirmation.arms
        },
    )


def _best(search: SearchPhase, confirmation: ConfirmationPhase, verdict: Verdict | None) -> tuple[Entry, RunResult]:
    """The run that is exported: on its first seed, the arm that the verdict is about if its mean is the better one,
    else ordinary training; where nothing was confirmed, the best of the search."""
    if verdict is not None and verdict.main is not None and verdict.arm is not None:
        arm = verdict.arm if verdict.main.better else verdict.reference
        for seed, result in confirmation.results(arm).items():
            if result.status is Status.FINISHED:
                return confirmation.entry(arm, seed), result
    finished = search.finished()
    if not finished:
        raise StudyFailedError(search)
    return finished[0]


def _comment(file: StudyFile, entry: Entry, value: float, sentence: str) -> str:
    experiment = entry.experiment
    return (
        f"Best config of study {file.study.name}: {describe(experiment.curriculum)} ({entry.arm.name}).\n"
        f"{sentence}\n\n"
        f"python jobs/train.py {BEST}    ends at {file.study.objective} = {value!r}\n"
        f"(on the same kind of machine, with seed {experiment.seed}; digit for digit on a CPU)"
    )


def _rows(file: StudyFile, search: SearchPhase, confirmation: ConfirmationPhase) -> list[Row]:
    """The confirmed arms, then the best of the search, one seed each."""
    objective = file.study.objective
    opinions = file.second_opinions()
    rows = []
    groups = {"baseline": "baselines", "searched": "leaders", "control": "leaders"}
    for role in ("baseline", "searched", "control"):
        for name, arm in confirmation.arms.items():
            results = [r for r in confirmation.results(name).values() if arm.role == role]
            good = [r for r in results if r.status is Status.FINISHED]
            if not results:
                continue
            values = [r.metrics[objective] for r in good]
            lost = len(results) - len(good)
            rows.append(
                Row(
                    group=f"{groups[role]}, fresh seeds",
                    name=_title(confirmation, name),
                    value=statistics.fmean(values) if values else None,
                    spread=statistics.stdev(values) if len(values) > 1 else None,
                    num_seeds=len(values),
                    others={m: statistics.fmean(r.metrics[m] for r in good) for m in opinions if good},
                    images=max(r.images for r in results),
                    seconds=statistics.fmean(r.seconds for r in results),
                    note=f"{lost} runs did not end" if lost else "",
                )
            )
    confirmed = bool(rows)  # The baselines are among those; else the search's stand beside its best.
    baselines = [] if confirmed else [pair for pair in search.finished() if pair[0].arm.role == "baseline"]
    searched = [pair for pair in search.finished() if pair[0].arm.role == "searched"][:_LISTED]
    for entry, result in baselines + searched:
        rows.append(
            Row(
                group="search, one seed each",
                name=title(entry.arm, entry.experiment),
                value=result.metrics[objective],
                others={m: result.metrics[m] for m in opinions},
                images=result.images,
                seconds=result.seconds,
            )
        )
    return rows


def _title(confirmation: ConfirmationPhase, name: str) -> str:
    return title(confirmation.arms[name], confirmation.entry(name, confirmation.plan.first_seed).experiment)


def _figures(file: StudyFile, book: RunBook, search: SearchPhase, confirmation: ConfirmationPhase) -> dict[str, Path]:
    """Caption to file: curves and stages of the search, and of the confirmation."""
    objective, folder = file.study.objective, book.root / "figures"
    folder.mkdir(exist_ok=True)
    higher = file.direction == "maximize"
    tried = [(entry, book.curve(entry.experiment.identity())) for entry in search.entries()]
    by_order: dict[str, list[list[tuple[int, float]]]] = {}
    stages: dict[str, list[StageHistory]] = {}
    for entry, curve in tried:
        order = (
            "no curriculum"
            if is_ordinary(entry)
            else entry.experiment.curriculum.order.to_dict()["kind"].replace("_", " ")
        )
        by_order.setdefault(order, []).append(curve.points(objective))
        if curve.switches:
            stages.setdefault(order, []).append(_stages(entry, curve))
    figures: dict[str, Figure] = {
        "Convergence by order, search": convergence(
            by_order, metric=objective, highlight="best", higher_is_better=higher, baseline="no curriculum"
        ),
        "Unlocked clusters, search": unlocked(stages, baseline="no curriculum"),
    }
    confirmed: dict[str, list[list[tuple[int, float]]]] = {}
    levels: dict[str, StageHistory] = {}
    for name in confirmation.arms:
        for seed in confirmation.results(name):
            entry = confirmation.entry(name, seed)
            curve = confirmation.curve(name, seed)
            confirmed.setdefault(_title(confirmation, name), []).append(curve.points(objective))
            if curve.switches and not is_ordinary(entry):
                levels.setdefault(_title(confirmation, name), _stages(entry, curve))
    if confirmed:
        figures["Convergence by arm, fresh seeds"] = convergence(
            confirmed, metric=objective, higher_is_better=higher, baseline="no curriculum"
        )
    if levels:
        figures["Unlocked noise levels, fresh seeds"] = unlocked_levels(levels)
    files = {}
    for caption, figure in figures.items():
        files[caption] = folder / (caption.lower().replace(",", "").replace(" ", "_") + ".png")
        figure.savefig(files[caption], dpi=130)
    return files


def _stages(entry: Entry, curve: Curve) -> StageHistory:
    resolved = curriculum_of(entry.experiment)
    return StageHistory(
        total_images=entry.experiment.training.total_images,
        edges=resolved.edges,
        permutation=resolved.permutation,
        switches=[(switch["images"], min(switch["stage"], len(resolved.permutation))) for switch in curve.switches],
        stopped_at=curve.images[-1] if curve.images[-1] < entry.experiment.training.total_images else None,
    )


def _finite(value: Any) -> Any:
    """Numbers that JSON has; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
