"""Figures, tables and the report of a study: pure functions of plain data."""

from curriculum_search.report.convergence import Points, convergence
from curriculum_search.report.difficulty import difficulty
from curriculum_search.report.document import write_report
from curriculum_search.report.stages import StageHistory, unlocked, unlocked_levels
from curriculum_search.report.table import Row, markdown_table, terminal_table

__all__ = [
    "Points",
    "Row",
    "StageHistory",
    "convergence",
    "difficulty",
    "markdown_table",
    "terminal_table",
    "unlocked",
    "unlocked_levels",
    "write_report",
]
