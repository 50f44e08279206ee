"""report.html: a study on one page, which needs nothing but itself."""

from curriculum_search.report.page.data import (
    Arm,
    Cost,
    Effect,
    Importance,
    Outcome,
    Parameter,
    PathStep,
    PathToWinner,
    Points,
    Role,
    Samples,
    Schedule,
    StudyData,
    Trial,
)
from curriculum_search.report.page.document import page

__all__ = [
    "Arm",
    "Cost",
    "Effect",
    "Importance",
    "Outcome",
    "Parameter",
    "PathToWinner",
    "PathStep",
    "Points",
    "Role",
    "Samples",
    "Schedule",
    "StudyData",
    "Trial",
    "page",
]
