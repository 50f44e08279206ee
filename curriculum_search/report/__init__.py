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
from curriculum_search.report.verdict import MOST_WORDS, VerdictLayers

__all__ = [
    "MOST_WORDS",
    "Points",
    "Row",
    "Scored",
    "StageHistory",
    "VerdictLayers",
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
