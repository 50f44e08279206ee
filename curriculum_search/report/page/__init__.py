"""report.html: a study on one page, which needs nothing but itself."""

from curriculum_search.report.page.data import (
    Arm,
    Cost,
    Effect,
    Importance,
    Outcome,
    Parameter,
    Path,
    PathStep,
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
    "Path",
    "PathStep",
    "Points",
    "Role",
    "Samples",
    "Schedule",
    "StudyData",
    "Trial",
    "page",
]
