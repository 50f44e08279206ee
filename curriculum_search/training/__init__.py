"""One training run: the loop, and the session that it reports to."""

from curriculum_search.training.loop import CHECKPOINT, GRID, TrainingResult, train
from curriculum_search.training.session import PlainSession, Report, Session, default_device

__all__ = [
    "CHECKPOINT",
    "GRID",
    "PlainSession",
    "Report",
    "Session",
    "TrainingResult",
    "default_device",
    "train",
]
