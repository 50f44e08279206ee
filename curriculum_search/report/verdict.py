"""A study's verdict in layers, and how each place shows it."""

import textwrap
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

#: What a headline may have at most, so that it can be repeated from memory.
MOST_WORDS = 20
_WIDTH = 110


@dataclass(frozen=True, kw_only=True)
class VerdictLayers:
    """What a confirmation says, from what a person repeats down to what a reviewer asks for.

    Attributes:
        headline: one sentence of at most `MOST_WORDS` words.
        order: whether it is the order of the noise levels that does it, or how often each is trained.
        metrics: what the other metrics say.
        sooner: how much sooner ordinary training's end is reached.
        next_step: what to do now.
        fine_print: sentences that are true besides: tests, intervals, runs that diverged, limits of the budget.
    """

    headline: str
    order: str
    metrics: str
    sooner: str
    next_step: str
    fine_print: tuple[str, ...] = ()

    @property
    def lines(self) -> dict[str, str]:
        """The lines below the headline, by their labels."""
        return {
            "Order or exposure": self.order,
            "Other metrics": self.metrics,
            "How much sooner": self.sooner,
            "What to do next": self.next_step,
        }

    def plain(self) -> str:
        """As a file's head has it, in lines of at most `_WIDTH` characters."""
        parts = [self.headline, *(f"{label}: {text}" for label, text in self.lines.items()), " ".join(self.fine_print)]
        return "\n".join(textwrap.fill(part, _WIDTH, subsequent_indent="  ") for part in parts if part)

    def markdown(self) -> str:
        """As the report and MLflow's description have it."""
        listed = "\n".join(f"- **{label}:** {_escaped(text)}" for label, text in self.lines.items())
        fine = " ".join(self.fine_print)
        return "\n\n".join([f"**{_escaped(self.headline)}**", listed, *([f"*{_escaped(fine)}*"] if fine else [])])

    def terminal(self) -> Group:
        """As the terminal has it, for `rich.print`."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for label, text in self.lines.items():
            table.add_row(label, Text(text))
        fine = [Text(" ".join(self.fine_print), style="dim")] if self.fine_print else []
        return Group(Text(f"Verdict: {self.headline}", style="bold"), table, *fine)


def _escaped(text: str) -> str:
    """A sentence whose names Markdown leaves as they are."""
    for character in "\\`*[]<>|":
        text = text.replace(character, f"\\{character}")
    return text
