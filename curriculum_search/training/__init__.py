"""One training run: the loop, what it is configured with, and the session that it reports to."""

from curriculum_search.training.config import Resources, Training
from curriculum_search.training.loop import CHECKPOINT, GRID, TrainingResult, train
from curriculum_search.training.session import PlainSession, Report, Session, default_device

__all__ = [
    "CHECKPOINT",
    "GRID",
    "PlainSession",
    "Report",
    "Resources",
    "Session",
    "Training",
    "TrainingResult",
    "default_device",
    "train",
]
