"""What is known of a run: its learning curve, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curriculum_search.runs.job import Status
from curriculum_search.training import Report


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run that has ended.

    Attributes:
        status: how it ended.
        metrics: the values of its last report.
        images: images seen at its last report.
        seconds: from start to end, evaluation and waiting for reports included.
        exposure: share of the draws by interval of q, ``{"edges": [...], "mass": [...]}``; of a finished run.
        reason: what went wrong, if it did.
    """

    status: Status
    metrics: Mapping[str, float]
    images: int
    seconds: float
    exposure: Mapping[str, list[float]] = field(default_factory=dict)
    reason: str = ""


@dataclass(kw_only=True)
class Curve:
    """What a run has reported so far: at each evaluation the images seen and the metrics.

    Attributes:
        images, metrics: of each evaluation, in step.
        switches: the changes of stage, as they came.
        exposure: of the last evaluation that had one.
        status_images: images at the last status; 0 before the first.
    """

    images: list[int] = field(default_factory=list)
    metrics: list[Mapping[str, float]] = field(default_factory=list)
    switches: list[Mapping[str, Any]] = field(default_factory=list)
    exposure: Mapping[str, list[float]] = field(default_factory=dict)
    status_images: int = 0

    @property
    def images_seen(self) -> int:
        """Images at the last report; 0 before the first."""
        return self.images[-1] if self.images else 0

    def points(self, metric: str) -> list[tuple[int, float]]:
        """(images, value) wherever `metric` was reported."""
        return [(i, m[metric]) for i, m in zip(self.images, self.metrics, strict=True) if metric in m]

    def columns(self, metric: str) -> tuple[list[int], list[float]]:
        """The images and the values of `points`."""
        points = self.points(metric)
        return [images for images, _ in points], [value for _, value in points]

    def add(self, report: Report) -> bool:
        """Take a report; False if it was there already, as after a resume."""
        if self.images and report.images <= self.images[-1]:
            return False
        self.images.append(report.images)
        self.metrics.append(report.metrics)
        self.switches += report.switches
        self.exposure = report.exposure or self.exposure
        return True
