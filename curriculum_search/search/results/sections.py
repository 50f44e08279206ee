"""What a report says beside the arms: the Pareto set, the path to the winner, the importance of each parameter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from curriculum_search.cli import show
from curriculum_search.report import markdown_columns, terminal_columns
from curriculum_search.search.arms import title
from curriculum_search.search.optuna.importance import IMPORTANCE_MEANING, Importances
from curriculum_search.search.phases.ablation import EXPOSURE, EXPOSURE_MEANING, PATH_MEANING, AblationPhase, StepResult
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.results.figures import proxy_size
from curriculum_search.search.study import StudyFile


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table with what there is to say about it, or a sentence alone.

    Attributes:
        heading: in the report, and of the table in the terminal.
        sentence: in both.
        columns: head to cells, all of one length; the first holds words.
        meaning: for the report.
        tag: name of a tag in MLflow.
        summary: its value; empty: no tag.
    """

    heading: str
    sentence: str
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    meaning: str = ""
    tag: str = ""
    summary: str = ""

    def markdown(self) -> str:
        """As the report has it."""
        table = markdown_columns(self.columns) if self.columns else ""
        return "\n\n".join(part.strip() for part in (self.sentence, table, self.meaning) if part)

    def print(self) -> None:
        """Show it in the terminal."""
        if self.columns:
            show(terminal_columns(self.columns, title=self.heading))
        if self.sentence:
            print(f"{self.heading}: {self.sentence}" + ("\n" if self.columns else ""))


def sections(
    file: StudyFile, search: SearchPhase, ablation: AblationPhase, tables: Sequence[Importances]
) -> list[Section]:
    """Those that the study has anything to say in; `tables` are its `importances`."""
    found = []
    if len(file.objectives) > 1:
        found.append(_pareto(file, search))
    if ablation.steps or ablation.remark:
        found.append(_path(file, ablation))
    return found + [_importance(table) for table in tables]


def _pareto(file: StudyFile, search: SearchPhase) -> Section:
    front, count = search.pareto(), len(search.finished())
    columns = {"arm": [title(candidate.arm, candidate.run.experiment) for candidate in front]}
    better: dict[str, list[str]] = {}
    for i, (name, direction) in enumerate(zip(file.objectives, file.directions, strict=True)):
        columns[name] = [f"{candidate.values[i]:.4g}" for candidate in front]
        better.setdefault(direction.better, []).append(name)
    sides = "; ".join(f"{side} is better: {', '.join(names)}" for side, names in better.items())
    return Section(
        heading=f"Pareto set of the search{proxy_size(file)}",
        sentence=f"{len(front)} of {count} configs; no other is as good in all objectives and better in one ({sides}).",
        columns=columns,
        meaning=(
            "These are values of the search, which tried many configs on few seeds: the best of them look better than "
            f"they are. The verdict, on fresh seeds, is about {file.study.objective}."
        ),
        tag="pareto_set",
        summary=", ".join(candidate.arm.name for candidate in front),
    )


def _path(file: StudyFile, ablation: AblationPhase) -> Section:
    steps, whole = ablation.path(), ablation.whole()
    heading = "From ordinary training to the winner"
    if whole is None:
        return Section(heading=heading, sentence=ablation.remark)
    exposed = any(EXPOSURE in step.changes for step in ablation.steps[:-1])
    sentence = f"{file.study.objective} ({file.direction.better} is better) changes by {_change(whole)} in all."
    columns = {
        "change": [step.change + (f" ({step.lost} runs did not end)" if step.lost else "") for step in steps],
        "mean": ["-" if step.mean is None else f"{step.mean:.4g}" for step in steps],
        "sd": ["" if step.sd is None else f"{step.sd:.2g}" for step in steps],
        "seeds": [str(len(step.values)) for step in steps],
        "brought": ["", *map(_change, steps[1:])],
    }
    return Section(
        heading=heading,
        sentence=f"{sentence} {ablation.remark}".strip(),
        columns=columns,
        meaning=f"{EXPOSURE_MEANING} {PATH_MEANING}" if exposed else PATH_MEANING,
        tag="ablation",
        summary="; ".join(f"{step.change}: {_change(step)}" for step in steps[1:]),
    )


def _change(step: StepResult) -> str:
    if step.difference is None:
        return "-"
    return f"{step.difference:+.3g}" + ("" if step.error is None else f" ± {step.error:.2g}")


def importance_heading(table: Importances) -> str:
    """Of a table of importances, as report and page show it."""
    return f"Importance of each parameter over {table.trials}"


def _importance(table: Importances) -> Section:
    heading = importance_heading(table)
    if not table.shares:
        return Section(heading=heading, sentence=table.sentence)
    deciding = next(iter(table.shares.values()))
    columns = {"parameter": list(deciding)}
    for objective, shares in table.shares.items():
        columns[objective] = [f"{100 * shares[parameter]:.0f} %" for parameter in deciding]
    return Section(
        heading=heading,
        sentence=table.sentence,
        columns=columns,
        meaning=IMPORTANCE_MEANING,
        tag="importance_" + table.trials.replace(" ", "_"),
        summary=", ".join(f"{parameter} {100 * share:.0f} %" for parameter, share in deciding.items()),
    )
