"""One training run: the loop, its state, and the session that it reports to."""

from curriculum_search.training.checkpoint import CHECKPOINT
from curriculum_search.training.loop import GRID, GRIDS, TrainingResult, train
from curriculum_search.training.session import Interrupted, PlainSession, Report, Session, StatusReport, default_device

__all__ = [
    "CHECKPOINT",
    "GRID",
    "GRIDS",
    "Interrupted",
    "PlainSession",
    "Report",
    "Session",
    "StatusReport",
    "TrainingResult",
    "default_device",
    "train",
]
