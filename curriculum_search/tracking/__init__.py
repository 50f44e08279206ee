"""Tracking: the local truth in JSON lines, and the one writer that copies it to MLflow."""

from curriculum_search.tracking.database import tracking_uri
from curriculum_search.tracking.names import check_metric_name
from curriculum_search.tracking.run_log import RunLog
from curriculum_search.tracking.store import STUDY
from curriculum_search.tracking.tracker import RunStatus, Tracker

__all__ = ["STUDY", "RunLog", "RunStatus", "Tracker", "check_metric_name", "tracking_uri"]
