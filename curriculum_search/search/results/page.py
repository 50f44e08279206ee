"""report.html: what its page shows of a study, gathered from the study's phases as they stand."""

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curriculum_search.atomic import write_whole
from curriculum_search.export import BEST, CURRICULUM, DENSITY
from curriculum_search.report import Row, VerdictLayers
from curriculum_search.report.page import (
    Arm,
    Cost,
    Effect,
    Importance,
    Parameter,
    PathStep,
    PathToWinner,
    Role,
    StudyData,
    Trial,
    page,
)
from curriculum_search.runs.result import Curve
from curriculum_search.search.arms import Run, title
from curriculum_search.search.optuna.importance import IMPORTANCE_MEANING, Importances
from curriculum_search.search.phases.ablation import EXPOSURE, EXPOSURE_MEANING, PATH_MEANING, AblationPhase
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.results.figures import arm_title, order_title, proxy_size
from curriculum_search.search.results.samples import samples_of
from curriculum_search.search.results.schedule import schedule
from curriculum_search.search.results.sections import importance_heading
from curriculum_search.search.space import Categorical, Float, Int
from curriculum_search.search.statistics.comparison import Comparison, Contrast, compare
from curriculum_search.search.study import RESOLVED

PAGE = "report.html"
_CURVES = ("val_loss", "train_loss", "unlocked_share")  # beside the study's own metrics
_MOST_TEXT = 100_000  # characters of a file
_PACKAGES = ("curriculum-search", "torch", "numpy", "ray", "optuna", "plotly")


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a study has come to, in words and numbers.

    Attributes:
        layers: the verdict in words.
        winner: the arm that it is about, if there is one.
        rows: of the table of arms.
        tables: importances.
        failures: what to say of the runs that failed or were lost; empty if there are none.
    """

    layers: VerdictLayers
    winner: str | None
    rows: Sequence[Row]
    tables: Sequence[Importances]
    failures: str


def write_page(
    path: Path,
    folder: Path,
    findings: Findings,
    search: SearchPhase,
    confirmation: ConfirmationPhase,
    ablation: AblationPhase,
    *,
    state: str = "",
) -> Path:
    """Write the page of a study.

    Args:
        path: of the page.
        folder: of the study, as its user knows it.
        findings: what it has come to.
        search, confirmation, ablation: its phases, as they stand.
        state: how far it is, in words; empty where it is finished.
    """
    write_whole(path, page(_data(folder, findings, search, confirmation, ablation, state)))
    return path


def _data(
    folder: Path,
    findings: Findings,
    search: SearchPhase,
    confirmation: ConfirmationPhase,
    ablation: AblationPhase,
    state: str,
) -> StudyData:
    file, ledger = search.file, search.ledger
    metrics = _metrics(confirmation)
    arms = _arms(confirmation, metrics)
    return StudyData(
        name=file.study.name,
        state=state,
        layers=findings.layers,
        objectives=file.objectives,
        directions=file.directions,
        size=proxy_size(file),
        arms=arms,
        effects={metric: _effects(confirmation, metric) for metric in metrics} if arms else {},
        confidence=file.study.confirmation.confidence,
        rows=findings.rows,
        samples=samples_of(confirmation, findings.winner),
        parameters=_parameters(search),
        trials=_trials(search),
        importances=[_importance(table) for table in findings.tables],
        pareto=_pareto(search),
        path=_path(ablation) if file.study.ablation_seeds else None,
        costs=_costs(search, ablation),
        hours=ledger.seconds / 3600,
        gpu_hours=ledger.gpu_seconds / 3600,
        failures=findings.failures,
        commands=_commands(folder),
        files={
            name: _text(folder / name) for name in (RESOLVED, BEST, DENSITY, CURRICULUM) if (folder / name).exists()
        },
        versions={"Python": platform.python_version()} | {name: importlib.metadata.version(name) for name in _PACKAGES},
    )


def _metrics(confirmation: ConfirmationPhase) -> list[str]:
    """The deciding metric and the second opinions that every finished run has."""
    file = confirmation.file
    results = [
        r for name in confirmation.arms for r in confirmation.results(name).values() if r.status.value == "finished"
    ]
    others = [m for m in file.second_opinions() if results and all(m in result.metrics for result in results)]
    return [file.study.objective, *others]


def _arms(confirmation: ConfirmationPhase, metrics: Sequence[str]) -> list[Arm]:
    """Those with a run that has reported, the reference first."""
    plan = confirmation.plan
    roles: dict[str, Role] = dict.fromkeys(plan.leaders, "leader")
    roles |= dict.fromkeys(plan.controls.values(), "control")
    roles[plan.reference] = "reference"
    values = {metric: confirmation.values(metric) for metric in metrics}
    arms = []
    for name in confirmation.arms:
        runs = {seed: confirmation.run(name, seed) for seed in plan.seeds(name)}
        curves = {seed: curve for seed, run in runs.items() if (curve := confirmation.store.curve(run.key)).images}
        if not curves:
            continue
        first = next(iter(curves))
        arms.append(
            Arm(
                title=arm_title(confirmation, name),
                role=roles.get(name, "baseline"),
                finals={metric: values[metric][name] for metric in metrics},
                curves=_curves(curves, metrics),
                schedule=schedule(runs[first], curves[first], confirmation.store.result(runs[first].key)),
            )
        )
    arms.sort(key=lambda arm: arm.role != "reference")
    return arms if arms and arms[0].role == "reference" else []


def _curves(curves: Mapping[int, Curve], metrics: Sequence[str]) -> dict[str, dict[int, list[tuple[int, float]]]]:
    found = {}
    for metric in dict.fromkeys([*metrics, *_CURVES]):
        runs = {seed: points for seed, curve in curves.items() if (points := curve.points(metric))}
        if any(len(points) > 1 for points in runs.values()):
            found[metric] = runs
    return found


def _effects(confirmation: ConfirmationPhase, metric: str) -> list[Effect]:
    """Each leader with its control and with what its order adds, then the baselines."""
    plan, values = confirmation.plan, confirmation.values(metric)
    known = compare(plan, values)
    wanted: list[tuple[str, Contrast]] = []
    for leader in plan.leaders:
        wanted.append(("", Contrast(arm=leader, against=plan.reference)))
        if control := plan.controls.get(leader):
            wanted.append(("", Contrast(arm=control, against=plan.reference)))
            wanted.append((f"{leader}: its order, on top of exposure", Contrast(arm=leader, against=control)))
    wanted += [("", Contrast(arm=arm, against=plan.reference)) for arm in plan.baselines]
    return [
        _effect(confirmation, name, contrast, known.get(contrast), values)
        for name, contrast in wanted
        if values.get(contrast.arm) and (name == "" or contrast in known)
    ]


def _effect(
    confirmation: ConfirmationPhase,
    name: str,
    contrast: Contrast,
    comparison: Comparison | None,
    values: Mapping[str, Mapping[int, float]],
) -> Effect:
    arm, against = arm_title(confirmation, contrast.arm), arm_title(confirmation, contrast.against)
    if comparison is None:
        ends = list(values.get(contrast.against, {}).values())
        mean = sum(ends) / len(ends) if ends else float("nan")
        seeds = len(values[contrast.arm])
        return Effect(name=name or arm, arm=arm, against=against, against_mean=mean, seeds=seeds)
    return Effect(
        name=name or arm,
        arm=arm,
        against=against,
        against_mean=comparison.against_mean,
        difference=comparison.difference,
        low=comparison.low,
        high=comparison.high,
        claimed=comparison.claimed,
        p_value=comparison.p_value,
        seeds=comparison.num_seeds,
    )


def _parameters(search: SearchPhase) -> list[Parameter]:
    found = []
    for path in search.file.space.order:
        distribution = search.file.space.parameters[path]
        if isinstance(distribution, Categorical):
            found.append(Parameter(path=path, choices=tuple(distribution.choices)))
        elif isinstance(distribution, Float | Int):
            found.append(Parameter(path=path, low=distribution.low, high=distribution.high, log=distribution.log))
    return found


def _trials(search: SearchPhase) -> list[Trial]:
    file, store = search.file, search.store
    values = {candidate.arm.name: candidate.values for candidate in search.finished()}
    front = {candidate.arm.name for candidate in search.pareto()} if len(file.objectives) > 1 else set()
    runs = [run for run in search.runs() if run.experiment.seed == file.study.seed]
    spans = [_span(search, run) for run in runs]
    start = min((span[0] for span in spans if span), default=0.0)
    found = []
    for run, span in zip(runs, spans, strict=True):
        curve, result = store.curve(run.key), store.result(run.key)
        found.append(
            Trial(
                name=title(run.arm, run.experiment),
                order=order_title(run),
                params=dict(run.arm.values) if run.trial is not None else {},
                outcome=result.status.value if result else "under way",
                curve=curve.points(file.study.objective),
                total_images=run.experiment.training.total_images,
                values=values.get(run.arm.name, ()),
                began=span[0] - start if span else None,
                ended=span[1] - start if span else None,
                best=run.arm.name in front,
                reason=result.reason if result else "",
            )
        )
    return found


def _span(search: SearchPhase, run: Run) -> tuple[float, float] | None:
    """When a run was at work; its log begins with its first report, and its result knows how long it took."""
    span, result = search.store.folder(run.key).span(), search.store.result(run.key)
    return (span[1] - result.seconds, span[1]) if span and result else span


def _importance(table: Importances) -> Importance:
    return Importance(
        heading=importance_heading(table), sentence=table.sentence, shares=table.shares, meaning=IMPORTANCE_MEANING
    )


def _pareto(search: SearchPhase) -> str:
    if len(search.file.objectives) < 2:
        return ""
    count = len(search.pareto())
    return (
        f"Large: the {count} config{'s' * (count != 1)} that no other beats in one objective without losing in "
        f"another. The verdict, on fresh seeds, is about {search.file.study.objective}."
    )


def _path(ablation: AblationPhase) -> PathToWinner:
    exposed = any(EXPOSURE in step.changes for step in ablation.steps[:-1])
    whole = ablation.whole()
    sentence = ablation.remark
    if whole is not None and whole.difference is not None:
        sentence = f"{ablation.file.study.objective} changes by {whole.difference:+.3g} in all. {ablation.remark}"
    return PathToWinner(
        sentence=sentence.strip() or "No step has been trained yet.",
        steps=[
            PathStep(change=step.change, values=step.values, difference=step.difference, error=step.error)
            for step in ablation.path()
        ],
        meaning=f"{EXPOSURE_MEANING} {PATH_MEANING}" if exposed else PATH_MEANING,
    )


def _costs(search: SearchPhase, ablation: AblationPhase) -> list[Cost]:
    """By phase.  What was trained with other leaders, for an earlier verdict, is the confirmation's too."""
    steps = {run.key for run, _ in ablation.ended_runs()}
    parts: dict[str, list[Cost]] = {"search": [], "confirmation": [], "ablation": []}
    for record in search.store.records.values():
        if record.adopted:
            continue
        of_search = record.seed in search.file.search_seeds
        part = "search" if of_search else "ablation" if record.key in steps else "confirmation"
        hours = record.seconds / 3600
        parts[part].append(Cost(part=part, runs=1, images=record.images, hours=hours, gpu_hours=hours * record.gpus))
    return [
        Cost(
            part=part,
            runs=len(costs),
            images=sum(cost.images for cost in costs),
            hours=sum(cost.hours for cost in costs),
            gpu_hours=sum(cost.gpu_hours for cost in costs),
        )
        for part, costs in parts.items()
    ]


def _commands(folder: Path) -> dict[str, str]:
    here = os.path.relpath(folder)
    shown = folder if here.startswith("..") else Path(here)
    commands = {"Go on with it, or see its end again": f"python jobs/search.py {shown / RESOLVED}"}
    if (folder / BEST).exists():
        commands["Train the best config"] = f"python jobs/train.py {shown / BEST}"
        commands["Evaluate it in full"] = f"python jobs/evaluate.py {shown / BEST}"
        commands["Its curriculum, for other code"] = str(shown / CURRICULUM)
    return commands | {"This page again": f"python jobs/report.py {shown}"}


def _text(path: Path) -> str:
    content = path.read_text(errors="replace")
    return content if len(content) <= _MOST_TEXT else f"{content[:_MOST_TEXT]}\n... ({len(content):,} characters)"
