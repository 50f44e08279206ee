"""When a search gives a trial up: decisions only, from what trials report.

An early value is unfair to a curriculum, which has not yet trained the cleanest noise levels: on real runs, halving at
a quarter of the images cut arms that ended ahead.  A fair rule judges a trial beside others that are as far with their
curriculum.  `benchmarks/search.py` measures the rules on recorded learning curves.

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
        return "stop" if not math.isfinite(value) or self.hopeless(trial) else "continue"

    @abstractmethod
    def hopeless(self, trial: Hashable) -> bool:
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
    def hopeless(self, trial: Hashable) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class SuccessiveHalving(Stopping):
    """Asynchronous successive halving (ASHA, Li et al. 2020) in images seen: at each rung the best 1/eta go on.

    Attributes:
        eta: share kept at a rung, and ratio of a rung's images to those of the rung before.
        first_rung_share: share of a run's images at the first rung.
        when_unlocked: judge a trial at a rung only if it has unlocked everything by then, beside others that have; it
            passes those before.  The rule as published has it false, and is unfair to curricula.
        settle_share: share of a run's images that has to lie between that and a rung.
    """

    kind: Literal["successive_halving"] = "successive_halving"
    eta: float = 3.0
    first_rung_share: float = 1 / 9
    when_unlocked: bool = False
    settle_share: float = 0.0

    def __post_init__(self) -> None:
        if self.eta <= 1:
            raise ValueError(f"eta must be above 1, not {self.eta}")
        if not 0 < self.first_rung_share < 1:
            raise ValueError(f"first_rung_share must be in (0, 1), not {self.first_rung_share}")
        if not 0 <= self.settle_share < 1:
            raise ValueError(f"settle_share must be in [0, 1), not {self.settle_share}")

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

    def hopeless(self, trial: Hashable) -> bool:
        point = self.curves[trial][-1]
        before = self.curves[trial][-2].images if len(self.curves[trial]) > 1 else 0
        passed = [values for images, values in self.rungs if before < images <= point.images]
        if not passed or not self._ripe(point):
            return False
        values = passed[-1]
        values.append(point.value)
        return sorted(values).index(point.value) >= max(1, math.ceil(len(values) / self.rule.eta))

    def _ripe(self, point: Point) -> bool:
        if not self.rule.when_unlocked:
            return True
        settle = self.rule.settle_share * self.total_images
        return point.unlocked_at is not None and point.images - point.unlocked_at >= settle


@dataclass(frozen=True, kw_only=True)
class Forecast(Stopping):
    """Give a trial up when it is unlikely to end better than the best so far.

    How much a trial will still gain is learned from those that have ended: from what they gained after the same number
    of images, each counting the more the closer it was then to where the trial is with its curriculum.  A curriculum
    is so compared with curricula, and while too few have ended to tell, nothing is given up.

    Attributes:
        chance: give up below this probability of ending among the best `rank`.
        rank: how good a trial has to promise to be.
        min_ended: trials, weighted, that a forecast needs.
        first_share: share of a run's images before which nothing is given up.
    """

    kind: Literal["forecast"] = "forecast"
    chance: float = 0.1
    rank: int = 1
    min_ended: float = 3.0
    first_share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.chance < 1:
            raise ValueError(f"chance must be in (0, 1), not {self.chance}")
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, not {self.rank}")
        if self.min_ended < 2:
            raise ValueError(f"min_ended must be at least 2, not {self.min_ended}")
        if not 0 <= self.first_share < 1:
            raise ValueError(f"first_share must be in [0, 1), not {self.first_share}")

    def build(self, total_images: int) -> Stopper:
        return _Forecasting(self, total_images)


#: Shares of the noise levels, and of the run since they were all unlocked, over which two trials grow unlike.
_UNLIKE_UNLOCKED, _UNLIKE_SINCE = 0.15, 0.15


class _Forecasting(Stopper):
    def __init__(self, rule: Forecast, total_images: int) -> None:
        super().__init__(total_images)
        self.rule = rule

    def hopeless(self, trial: Hashable) -> bool:
        point = self.curves[trial][-1]
        if point.images < self.rule.first_share * self.total_images:
            return False
        ended = [curve for curve in self.curves.values() if curve[-1].images >= self.total_images]
        ended = [curve for curve in ended if math.isfinite(curve[-1].value)]
        gains, weights = [], []
        for curve in ended:
            then = next((p for p in curve if p.images >= point.images), curve[-1])
            gains.append(_gain(then.value, curve[-1].value))
            weights.append(self._likeness(point, then))
        total = sum(weights)
        if len(ended) < self.rule.rank or total < self.rule.min_ended:
            return False
        mean = sum(w * g for w, g in zip(weights, gains, strict=True)) / total
        spread = sum(w * (g - mean) ** 2 for w, g in zip(weights, gains, strict=True)) / (total - 1)
        target = sorted(curve[-1].value for curve in ended)[self.rule.rank - 1]
        needed = _gain(point.value, target)
        deviation = math.sqrt(spread * (1 + 1 / total)) + 1e-12
        return 0.5 * math.erfc((needed - mean) / deviation / math.sqrt(2)) < self.rule.chance

    def _likeness(self, a: Point, b: Point) -> float:
        since = [0 if p.unlocked_at is None else (p.images - p.unlocked_at) / self.total_images for p in (a, b)]
        unlocked = (a.unlocked_share - b.unlocked_share) / _UNLIKE_UNLOCKED
        return math.exp(-0.5 * (unlocked**2 + ((since[0] - since[1]) / _UNLIKE_SINCE) ** 2))


def _gain(before: float, after: float) -> float:
    """How much better `after` is, in logarithms where the values are positive as distances are."""
    return math.log(before / after) if before > 0 and after > 0 else before - after
