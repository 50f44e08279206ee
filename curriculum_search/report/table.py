"""The short table at the end of a study, for the terminal and for the report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from curriculum_search.direction import Direction

if TYPE_CHECKING:
    import pandas

_WORDS = ("", "arm", "note", "change", "parameter")  # heads of columns that hold words


@dataclass(frozen=True, kw_only=True)
class Row:
    """An arm in the table.

    Attributes:
        group: arms of one group stand together under its name, as in "baselines", "leaders".
        name: of the arm, in words.
        value: of the deciding metric; None if there is none, as for a diverged run.
        spread: standard deviation of the value over seeds.
        num_seeds: how many runs stand behind the value.
        others: further metrics, by name.
        images: images seen by each run.
        train_seconds: that a run spent in training steps; None if no run came to a report.
        note: how it ended, if not as planned, or what to know about it.
        ranked: whether the row can be the best one; not if its value may not be compared with the others'.
    """

    group: str
    name: str
    value: float | None
    spread: float | None = None
    num_seeds: int = 1
    others: Mapping[str, float] = field(default_factory=dict)
    images: int
    train_seconds: float | None
    note: str = ""
    ranked: bool = True


def terminal_table(
    rows: Sequence[Row], *, metric: str, direction: Direction = Direction.MINIMIZE, title: str = ""
) -> Table:
    """The rows, in their order and under their groups, as a table for `rich.print`; the best value is bold."""
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    columns = _columns(rows, metric)
    table.add_column("arm")  # the only one that gives way where the terminal is narrow
    for head in columns:
        table.add_column(head, justify="right", no_wrap=True)
    best = _best(rows, direction)
    for i, row in enumerate(rows):
        if i == 0 or row.group != rows[i - 1].group:
            if i:
                table.add_section()
            table.add_row(Text(row.group, style="italic dim"))
        style = "bold" if i == best else ""
        arm = Text(row.name, style=style)
        if row.note:
            arm.append(f"\n  {row.note}", style="dim")
        table.add_row(arm, *(Text(cells[i], style=style) for cells in columns.values()))
    return table


def markdown_table(rows: Sequence[Row], *, metric: str, direction: Direction = Direction.MINIMIZE) -> str:
    """The same table in Markdown, with the group as a column."""
    columns, best = columns_of(rows, metric, direction)
    return markdown_columns(columns, bold=best)


def columns_of(rows: Sequence[Row], metric: str, direction: Direction) -> tuple[dict[str, list[str]], int | None]:
    """The same as columns by their heads, all of one length, and the place of the best row."""
    columns = {"": [row.group for row in rows], "arm": [row.name for row in rows], **_columns(rows, metric)}
    columns |= {"note": [row.note for row in rows]} if any(row.note for row in rows) else {}
    return columns, _best(rows, direction)


def data_frame(rows: Sequence[Row], *, metric: str) -> "pandas.DataFrame":
    """The same table as numbers: a row an arm, with the columns ``group, arm, mean, sd, seeds``, the further metrics by
    their names, ``images, train_seconds, note``.  The mean is of `metric`, which is the frame's ``attrs["metric"]``."""
    import pandas

    others = list(dict.fromkeys(name for row in rows for name in row.others if name != metric))
    columns: dict[str, list[object]] = {
        "group": [row.group for row in rows],
        "arm": [row.name for row in rows],
        "mean": [row.value for row in rows],
        "sd": [row.spread for row in rows],
        "seeds": [row.num_seeds for row in rows],
        **{name: [row.others.get(name) for row in rows] for name in others},
        "images": [row.images for row in rows],
        "train_seconds": [row.train_seconds for row in rows],
        "note": [row.note for row in rows],
    }
    numbers = dict.fromkeys(["mean", "sd", *others, "train_seconds"], "float64")
    frame = pandas.DataFrame(columns).astype(numbers)
    frame.attrs["metric"] = metric
    return frame


def terminal_columns(columns: Mapping[str, Sequence[str]], *, title: str = "") -> Table:
    """Columns by their heads, all of one length, as a table for `rich.print`; the first holds words."""
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, head in enumerate(columns):
        table.add_column(head, justify="right" if i else "left", no_wrap=i > 0)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*map(Text, cells))
    return table


def markdown_columns(columns: Mapping[str, Sequence[str]], *, bold: int | None = None) -> str:
    """The same in Markdown; `bold` is the place of a row that stands out."""
    lines = [_line(columns), _line("---" if head in _WORDS else "---:" for head in columns)]
    for i, cells in enumerate(zip(*columns.values(), strict=True)):
        escaped = (cell.replace("|", "\\|") for cell in cells)
        lines.append(_line(f"**{cell}**" if i == bold and cell else cell for cell in escaped))
    return "\n".join(lines) + "\n"


def _columns(rows: Sequence[Row], metric: str) -> dict[str, list[str]]:
    """The columns of numbers."""
    others = list(dict.fromkeys(name for row in rows for name in row.others if name != metric))
    columns = {metric: [_value(row) for row in rows]}
    columns |= {name: [f"{row.others[name]:.4g}" if name in row.others else "" for row in rows] for name in others}
    return columns | {
        "images": [f"{row.images:,}" for row in rows],
        "train s": ["" if row.train_seconds is None else f"{row.train_seconds:,.0f}" for row in rows],
    }


def _value(row: Row) -> str:
    if row.value is None:
        return "-"
    spread = "" if row.spread is None else f" ± {row.spread:.2g}"
    return f"{row.value:.4g}{spread}" + (f" ({row.num_seeds})" if row.num_seeds > 1 else "")


def _best(rows: Sequence[Row], direction: Direction) -> int | None:
    values = {i: row.value for i, row in enumerate(rows) if row.value is not None and row.ranked}
    return direction.best(values, values.__getitem__) if values else None


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
