"""What a finished study leaves: the verdict, a table, figures, the best config, and all of it in MLflow."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from curriculum_search.cli import show
from curriculum_search.experiment import Experiment
from curriculum_search.export import BEST, DENSITY
from curriculum_search.loading import UserError
from curriculum_search.report import Row, VerdictLayers, data_frame, markdown_table, terminal_table, write_report
from curriculum_search.runs.job import Status
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.store import RunStore
from curriculum_search.search.arms import Run, title
from curriculum_search.search.objectives import IMAGES_TO_BASELINE
from curriculum_search.search.optuna.importance import importances
from curriculum_search.search.phases.ablation import AblationPhase
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.results.exports import Standing, density_beside, export, first_finished
from curriculum_search.search.results.figures import FIGURES, arm_title, proxy_size, write_figures
from curriculum_search.search.results.page import PAGE, Findings, write_page
from curriculum_search.search.results.sections import sections
from curriculum_search.search.results.tracked import track_arms
from curriculum_search.search.results.words import describe, unconfirmed
from curriculum_search.search.statistics.verdict import Verdict, judge
from curriculum_search.search.study import StudyFile
from curriculum_search.storage import address_of
from curriculum_search.tracking import STUDY

if TYPE_CHECKING:
    import pandas

_LISTED = 5  # searched configs in the table


class StudyFailedError(UserError):
    """Not one run that could be exported came to its end."""

    def __init__(self, search: SearchPhase, confirmation: ConfirmationPhase) -> None:
        ended = search.ended_runs()
        ended += [(confirmation.run(a, s), r) for a in confirmation.arms for s, r in confirmation.results(a).items()]
        reasons = [
            f"  {run.arm.name}: {result.status.value}: {result.reason}"
            for run, result in ended
            if result.status is not Status.FINISHED
        ]
        size = " at full size" if search.file.study.proxy else ""
        head = f"no run of study {search.file.study.name}{size} came to its end:"
        super().__init__("\n".join([head, *reasons[:5]]))


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study came to.

    Attributes:
        best: the experiment that is exported, with the seed of the run that stands for it.
        arm: its arm's name.
        value: the objective of that run.
        verdict: of the confirmation; None where the study has none.
        layers: the verdict in words.
        best_path: the exported experiment.
        curriculum_path: the exported curriculum.
        density_path: the constant density that is exported beside it, where it is not shown to be worse.
        failures: what to say of the runs that failed or were lost; empty if there are none.
        objective: the metric that decided.
        rows: of the table at the end.
        figures: caption to file.
    """

    best: Experiment = field(repr=False)
    arm: str
    value: float
    verdict: Verdict | None = field(repr=False)
    layers: VerdictLayers
    best_path: Path
    curriculum_path: Path
    density_path: Path | None
    failures: str
    objective: str
    rows: tuple[Row, ...] = field(repr=False)
    figures: Mapping[str, Path] = field(repr=False)

    @property
    def table(self) -> "pandas.DataFrame":
        """The arms, as a data frame (`data_frame`)."""
        return data_frame(self.rows, metric=self.objective)

    def tracked_metrics(self, objective: str) -> dict[str, float]:
        """What stands for the study in MLflow's table."""
        metrics = {f"end_{objective}": self.value}
        if self.verdict is not None and self.verdict.main is not None:
            metrics |= {"difference": self.verdict.main.difference, "p_value": self.verdict.main.p_value}
        return metrics


def publish(
    file: StudyFile, store: RunStore, search: SearchPhase, confirmation: ConfirmationPhase, ablation: AblationPhase
) -> StudyResult:
    """Judge a finished study, write its files, log them to MLflow, and print the table."""
    objective = file.study.objective
    verdict = _verdict(file, confirmation)
    run, result = best = _best(search, confirmation, verdict)
    value = result.metrics[objective]
    density = density_beside(confirmation, verdict, run)
    layers = _layers(search, confirmation, verdict, run, density)
    values = confirmation.values(objective) if verdict is not None else {}
    exported = export(file, store, best, density, layers, values)
    best_path, curriculum_path, *beside = exported
    found = _findings(search, confirmation, ablation, verdict, layers)
    further = sections(file, search, ablation, found.tables)
    figures = write_figures(store.root / FIGURES, search, confirmation)
    again = f"python jobs/train.py {quote(address_of(best_path))}"
    report = write_report(
        store.root / "report.md",
        title=f"Study {file.study.name}",
        sections={"": layers.markdown(), "Arms": markdown_table(found.rows, metric=objective, direction=file.direction)}
        | {section.heading: section.markdown() for section in further}
        | {"Best config": f"`{again}` trains it again and ends at {objective} = {value!r}."}
        | ({"Its exposure alone": f"`python jobs/train.py {address_of(beside[0])}` trains it."} if beside else {}),
        figures=figures,
    )
    page = write_page(store.root / PAGE, store.root, found, search, confirmation, ablation)
    for path in (*exported, page, report, *figures.values()):
        store.tracker.log_artifact(STUDY, path, folder="figures" if path in figures.values() else "")
    tags = {
        "verdict": layers.headline,
        "mlflow.note.content": layers.markdown(),
        "best": run.experiment.describe(),
    }
    tags |= {section.tag: section.summary for section in further if section.summary}
    store.tracker.set_tags(STUDY, tags)
    track_arms(file, store, confirmation, verdict)
    heading = f"{file.study.name}: {objective} at the end, mean ± sd (seeds)"
    show(terminal_table(found.rows, metric=objective, direction=file.direction, title=heading))
    for section in further:
        section.print()
    show(layers.terminal())
    print(f"Best config:  {address_of(best_path)}\n              trains with: {again}")
    print(f"Curriculum:   {address_of(curriculum_path)} (for other training code)")
    if beside:
        print(f"Exposure:     {address_of(beside[0])}, a constant density that is not shown to be worse")
    print(f"Report:       {address_of(page)} (open it in a browser; {report.name} is the short one)")
    print(f"MLflow:       {store.tracker.page(arms=True)}", flush=True)
    if found.failures:
        print(found.failures, flush=True)
    return StudyResult(
        best=run.experiment,
        arm=run.arm.name,
        value=value,
        verdict=verdict,
        layers=layers,
        best_path=best_path,
        curriculum_path=curriculum_path,
        density_path=beside[0] if beside else None,
        failures=found.failures,
        objective=objective,
        rows=tuple(found.rows),
        figures=figures,
    )


def find(search: SearchPhase, confirmation: ConfirmationPhase, ablation: AblationPhase) -> Findings:
    """What a study has come to so far, be it that nothing has come to its end."""
    verdict = _verdict(search.file, confirmation)
    try:
        run, _ = _best(search, confirmation, verdict)
        layers = _layers(search, confirmation, verdict, run, density_beside(confirmation, verdict, run))
    except StudyFailedError as error:
        headline, *reasons = str(error).splitlines()
        layers = VerdictLayers(
            headline=f"{headline[:1].upper()}{headline[1:]}",
            order="",
            metrics="",
            sooner="",
            next_step="",
            fine_print=tuple(reasons),
        )
    return _findings(search, confirmation, ablation, verdict, layers)


def _findings(
    search: SearchPhase,
    confirmation: ConfirmationPhase,
    ablation: AblationPhase,
    verdict: Verdict | None,
    layers: VerdictLayers,
) -> Findings:
    file = search.file
    return Findings(
        layers=layers,
        winner=verdict.arm if verdict is not None else None,
        rows=_rows(file, search, confirmation),
        tables=importances(search.searcher.study, file.space, file.objectives),
        failures=_failures(search, confirmation, ablation),
    )


def _layers(
    search: SearchPhase,
    confirmation: ConfirmationPhase,
    verdict: Verdict | None,
    run: Run,
    density: Standing | None,
) -> VerdictLayers:
    """The verdict in words, with what its reader has to know besides; `run` is exported, and `density` beside it."""
    layers = (
        unconfirmed(run.arm.name, tries=_seeds_each(search.file))
        if verdict is None
        else describe(verdict, best=BEST, density=DENSITY if density else "")
    )
    return replace(layers, fine_print=(*layers.fine_print, *search.remarks(), *confirmation.remarks()))


def _failures(search: SearchPhase, confirmation: ConfirmationPhase, ablation: AblationPhase) -> str:
    """What to say of the runs that failed or were lost, each with its reason."""
    runs = [(f"{run.arm.name}, seed {run.experiment.seed}", result) for run, result in search.ended_runs()]
    runs += [(f"{a}, seed {s}", r) for a in confirmation.arms for s, r in confirmation.results(a).items()]
    runs += [(f"{run.arm.name}, seed {run.experiment.seed}", result) for run, result in ablation.ended_runs()]
    lines = []
    for status, words in (
        (Status.FAILED, "failed (trials of the search stay so; all else the same command tries again)"),
        (Status.LOST, "lost, as processes or nodes died time and again: the same command goes on with them"),
    ):
        found = [f"  {name}: {result.reason}" for name, result in runs if result.status is status]
        if found:
            lines += [f"{len(found)} run{'s' * (len(found) != 1)} {words}", *found[:_LISTED]]
    return "\n".join(lines)


def _verdict(file: StudyFile, confirmation: ConfirmationPhase) -> Verdict | None:
    if not file.study.confirms:
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


def _best(search: SearchPhase, confirmation: ConfirmationPhase, verdict: Verdict | None) -> Standing:
    """The run that is exported: on its first seed, the arm that the verdict is about if its mean is the better one,
    else ordinary training; where nothing was confirmed, the best of the search, on its first seed."""
    if verdict is not None:
        ahead = [verdict.arm] if verdict.arm is not None and verdict.main is not None and verdict.main.better else []
        for arm in (*ahead, verdict.plan.reference):
            if (standing := first_finished(confirmation, arm)) is not None:
                return standing
    finished = search.finished()
    if not finished or search.file.study.proxy:  # The search's runs are of another size.
        raise StudyFailedError(search, confirmation)
    return finished[0].run, finished[0].results[0]


def _rows(file: StudyFile, search: SearchPhase, confirmation: ConfirmationPhase) -> list[Row]:
    """The confirmed arms, then the best of the search."""
    objective = file.study.objective
    others = [*file.second_opinions(), *(m for m in file.study.secondary_objectives if m != IMAGES_TO_BASELINE)]
    fresh = "at full size, fresh seeds" if file.study.proxy else "fresh seeds"
    groups = {"baseline": f"baselines, {fresh}", "named": f"named arms, {fresh}", "searched": f"leaders, {fresh}"}
    rows = []
    for role, group in groups.items():
        for name in [arm.name for arm in confirmation.arms.values() if arm.role == role]:
            for shown in (name, confirmation.plan.controls.get(name)):
                if shown in confirmation.arms and (results := list(confirmation.results(shown).values())):
                    head = arm_title(confirmation, shown)
                    rows.append(_row(group, head, results, objective=objective, others=others))
    # The confirmed baselines are among those; else the search's stand beside its best.
    listed = search.finished()
    baselines = [] if rows else [candidate for candidate in listed if candidate.arm.role == "baseline"]
    searched = [candidate for candidate in listed if candidate.arm.role == "searched"][:_LISTED]
    group = f"search{proxy_size(file)}, {_seeds_each(file)}"
    ranked = not rows  # A best of many tries is not to be set beside what was confirmed, nor a small run beside large.
    for candidate in baselines + searched:
        name = title(candidate.arm, candidate.run.experiment)
        row = _row(group, name, candidate.results, objective=objective, others=others)
        rows.append(replace(row, ranked=ranked))
    return rows


def _row(group: str, name: str, results: Sequence[RunResult], *, objective: str, others: Sequence[str]) -> Row:
    """An arm with its runs."""
    good = [result for result in results if result.status is Status.FINISHED]
    values = [result.metrics[objective] for result in good]
    lost = len(results) - len(good)
    seconds = [r.metrics["train_seconds"] for r in results if "train_seconds" in r.metrics]
    known = [metric for metric in others if good and all(metric in result.metrics for result in good)]
    return Row(
        group=group,
        name=name,
        value=statistics.fmean(values) if values else None,
        spread=statistics.stdev(values) if len(values) > 1 else None,
        num_seeds=len(values),
        others={metric: statistics.fmean(result.metrics[metric] for result in good) for metric in known},
        images=max(result.images for result in results),
        train_seconds=statistics.median(seconds) if seconds else None,
        note=f"{lost} runs did not end" if lost else "",
    )


def _seeds_each(file: StudyFile) -> str:
    seeds = file.study.seeds_per_trial
    return "one seed each" if seeds == 1 else f"{seeds} seeds each"
