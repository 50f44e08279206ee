"""Figures, tables and the report of a study: pure functions of plain data."""

from curriculum_search.report.convergence import Points, convergence
from curriculum_search.report.difficulty import difficulty
from curriculum_search.report.document import write_report
from curriculum_search.report.pareto import Scored, pareto
from curriculum_search.report.stages import StageHistory, unlocked, unlocked_levels
from curriculum_search.report.table import (
    Row,
    data_frame,
    markdown_columns,
    markdown_table,
    terminal_columns,
    terminal_table,
)

__all__ = [
    "Points",
    "Row",
    "Scored",
    "StageHistory",
    "convergence",
    "data_frame",
    "difficulty",
    "markdown_columns",
    "markdown_table",
    "pareto",
    "terminal_columns",
    "terminal_table",
    "unlocked",
    "unlocked_levels",
    "write_report",
]
