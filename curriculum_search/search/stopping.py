"""When a search gives a trial up: decisions only, from what trials report.

An early value is unfair to a curriculum, which has not yet trained the cleanest noise levels: on real runs, halving at
a quarter of the images cut arms that ended ahead.  So the default waits for each trial's curriculum.
`benchmarks/search.py` measures rules on recorded learning curves.

All values are minimised; the caller turns the sign of a metric that is maximised.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from curriculum_search.config import Kinded

Decision = Literal["continue", "stop"]


class Stopper(ABC):
    """A stopping rule at work on one study.

    It holds what it was told and nothing else: telling a new one the same reports in the same order rebuilds it.
    """

    def __init__(self, total_images: int) -> None:
        self.total_images = total_images
        self.curves: dict[Hashable, list[Point]] = {}

    def decide(self, trial: Hashable, images: int, value: float, unlocked_share: float) -> Decision:
        """Take a report, and say whether the trial goes on.

        Args:
            trial: whose report.
            images: images seen; a report that is repeated (a run that was resumed) is never a reason to stop.
            value: of the objective.
            unlocked_share: share of the noise levels that are in training; 1 once the curriculum is over.
        """
        curve = self.curves.setdefault(trial, [])
        if curve and images <= curve[-1].images:
            return "continue"
        unlocked_at = curve[-1].unlocked_at if curve else None
        if unlocked_at is None and unlocked_share >= 1:
            unlocked_at = curve[-1].images if curve else 0
        curve.append(Point(images=images, value=value, unlocked_share=unlocked_share, unlocked_at=unlocked_at))
        if images >= self.total_images:
            return "continue"
        return "stop" if not math.isfinite(value) or self.should_stop(trial) else "continue"

    @abstractmethod
    def should_stop(self, trial: Hashable) -> bool:
        """Whether the trial is given up after the last point of its curve."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A report.

    Attributes:
        images: images seen.
        value: of the objective.
        unlocked_share: share of the noise levels in training.
        unlocked_at: images at the last report before everything was unlocked; None if it is not.
    """

    images: int
    value: float
    unlocked_share: float
    unlocked_at: int | None


class Stopping(Kinded):
    """How trials that will not win are ended early."""

    def build(self, total_images: int) -> Stopper:
        """The rule at the start of a study whose trials see `total_images` each."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NoStopping(Stopping):
    """Every trial sees all its images."""

    kind: Literal["none"] = "none"

    def build(self, total_images: int) -> Stopper:
        return _Never(total_images)


class _Never(Stopper):
    def should_stop(self, trial: Hashable) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class SuccessiveHalving(Stopping):
    """Asynchronous successive halving (ASHA, Li et al. 2020) in images seen: at each rung the best 1/eta go on.

    A trial is judged at a rung only if it has unlocked everything well before it, beside others that have; it passes
    the rungs before.

    Attributes:
        eta: share kept at a rung, and ratio of a rung's images to those of the rung before.
        first_rung_share: share of a run's images at the first rung.
        settle_share: share of a run's images that has to lie between the end of a trial's curriculum and a rung that
            it is judged at.  None: every trial is judged at every rung, which is the rule as published, and is unfair
            to curricula.
    """

    kind: Literal["successive_halving"] = "successive_halving"
    eta: float = 2.0
    first_rung_share: float = 0.25
    settle_share: float | None = 0.25

    def __post_init__(self) -> None:
        if self.eta <= 1:
            raise ValueError(f"eta must be above 1, not {self.eta}")
        if not 0 < self.first_rung_share < 1:
            raise ValueError(f"first_rung_share must be in (0, 1), not {self.first_rung_share}")
        if self.settle_share is not None and not 0 <= self.settle_share < 1:
            raise ValueError(f"settle_share must be in [0, 1) or null, not {self.settle_share}")

    def rungs(self, total_images: int) -> list[float]:
        """Images seen at each rung."""
        count = math.ceil(-math.log(self.first_rung_share) / math.log(self.eta) - 1e-9)
        return [total_images * self.first_rung_share * self.eta**k for k in range(count)]

    def build(self, total_images: int) -> Stopper:
        return _Halving(self, total_images)


class _Halving(Stopper):
    def __init__(self, rule: SuccessiveHalving, total_images: int) -> None:
        super().__init__(total_images)
        self.rule = rule
        self.rungs: list[tuple[float, list[float]]] = [(images, []) for images in rule.rungs(total_images)]

    def should_stop(self, trial: Hashable) -> bool:
        point = self.curves[trial][-1]
        before = self.curves[trial][-2].images if len(self.curves[trial]) > 1 else 0
        passed = [values for images, values in self.rungs if before < images <= point.images]
        if not passed or not self._ripe(point):
            return False
        values = passed[-1]
        values.append(point.value)
        return sorted(values).index(point.value) >= max(1, math.ceil(len(values) / self.rule.eta))

    def _ripe(self, point: Point) -> bool:
        if self.rule.settle_share is None:
            return True
        settle = self.rule.settle_share * self.total_images
        return point.unlocked_at is not None and point.images - point.unlocked_at >= settle
