"""Pacing: when the next cluster is unlocked.

A fixed pacing is a function of the share of the training budget that is spent; the loss plateau (plateau.py) watches
losses.  Its fraction, times the number of clusters and rounded up, is the number of clusters that are unlocked: the
next one is unlocked as soon as the fraction is more than k / N, and at k / N itself there are still k.  So all N are
unlocked before the fraction is 1.  Linear pacing with five clusters and `end_share` 0.5 is in stage 1 until a tenth of
the budget is spent, that step included, and in stage 5, with everything unlocked, from just after 0.4 on.  At the step
at which the fraction reaches 1 (at 0.5, for `end_share` 0.5) ordinary training begins.  It is a stage N + 1 of its own
unless stage N, which draws from all clusters, draws as ordinary training does.

A pacing function of one's own is one small file::

    @dataclass(frozen=True, kw_only=True)
    class Sine(FixedPacing):
        kind: Literal["sine"] = "sine"
        end_share: float = 0.5

        def fraction(self, progress: float) -> float:
            return math.sin(0.5 * math.pi * min(progress / self.end_share, 1.0))
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

from curriculum_search.curriculum._checks import require
from curriculum_search.curriculum.decision import Decision, Observation, Pacing, Reason

# What is forgiven at a boundary, since 3 * 0.1 is not 0.3 in floating point: a fraction of k / N unlocks k clusters and
# no more, a fraction of 1 is the end, and where a function jumps (step, fixed_exponential, single_step) the step at the
# jump already has what follows.
_ROUNDING = 1e-9


class FixedPacing(Pacing):
    """A pacing that only looks at the clock.  A new one defines `fraction`, and nothing else."""

    @abstractmethod
    def fraction(self, progress: float) -> float:
        """The fraction of the clusters that is unlocked once the share `progress` in [0, 1] of the budget is spent.

        It is rounded up to whole clusters and never falls.  At 1 the curriculum is over and training is ordinary.
        """
        raise NotImplementedError

    def decide(self, seen: Observation) -> Decision:
        fraction = self.fraction(min(seen.images_seen / seen.total_images, 1.0))
        if fraction >= 1.0 - _ROUNDING:
            stage = seen.num_stages
        else:
            stage = min(max(math.ceil(fraction * seen.num_clusters - _ROUNDING), 1), seen.num_clusters)
        return Decision(stage, Reason.SCHEDULE if stage != seen.stage else None)


@dataclass(frozen=True, kw_only=True)
class _Growth(FixedPacing):
    """What the pacing functions of Wu, Dyer & Neyshabur (2021, arXiv 2012.03107) share.

    Attributes:
        end_share: their a, the share of the budget at which the fraction reaches 1.  As fractions are rounded up, the
            last of N clusters is unlocked earlier: when the fraction exceeds (N - 1) / N.
        start_unlocked: their b, the fraction unlocked at the start.
    """

    end_share: float = 0.5
    start_unlocked: float = 0.0

    def __post_init__(self) -> None:
        require(0 < self.end_share < math.inf, "end_share", "positive", self.end_share)
        require(0 <= self.start_unlocked <= 1, "start_unlocked", "in [0, 1]", self.start_unlocked)

    def fraction(self, progress: float) -> float:
        grown = self.growth(min(progress / self.end_share, 1.0))
        return min(self.start_unlocked + (1.0 - self.start_unlocked) * grown, 1.0)

    def growth(self, x: float) -> float:
        """From 0 at x = 0 to 1 at x = 1, where x = progress / end_share, and 1 from there on."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Linear(_Growth):
    """b + (1 - b) s / (aT) for step s of T: with b = 0 stages of equal length, of which the Nth begins after
    a (N - 1) / N of the budget.
    """

    kind: Literal["linear"] = "linear"

    def growth(self, x: float) -> float:
        return x


@dataclass(frozen=True, kw_only=True)
class Root(_Growth):
    """b + (1 - b) (s / (aT))^(1/2): short stages first."""

    kind: Literal["root"] = "root"

    def growth(self, x: float) -> float:
        return math.sqrt(x)


@dataclass(frozen=True, kw_only=True)
class Quadratic(_Growth):
    """b + (1 - b) (s / (aT))^2: long stages first."""

    kind: Literal["quadratic"] = "quadratic"

    def growth(self, x: float) -> float:
        return x**2


@dataclass(frozen=True, kw_only=True)
class Polynomial(_Growth):
    """b + (1 - b) (s / (aT))^power, for any power.

    Attributes:
        power: 1 is ``linear``, 0.5 ``root``, 2 ``quadratic``.
    """

    kind: Literal["polynomial"] = "polynomial"
    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.power < math.inf, "power", "positive", self.power)

    def growth(self, x: float) -> float:
        return math.pow(x, self.power)

    def canonical(self) -> Pacing:
        named: dict[float, type[_Growth]] = {0.5: Root, 1.0: Linear, 2.0: Quadratic}
        if self.power not in named:
            return self
        return named[self.power](end_share=self.end_share, start_unlocked=self.start_unlocked)


@dataclass(frozen=True, kw_only=True)
class Exponential(_Growth):
    """b + (1 - b) (e^(10 s / (aT)) - 1) / (e^10 - 1): one cluster for long, then all of them fast."""

    kind: Literal["exponential"] = "exponential"

    def growth(self, x: float) -> float:
        return math.expm1(10.0 * x) / math.expm1(10.0)


@dataclass(frozen=True, kw_only=True)
class Logarithmic(_Growth):
    """b + (1 - b) (1 + ln(s / (aT) + e^-10) / 10): most clusters at once, the last of them slowly."""

    kind: Literal["logarithmic"] = "logarithmic"

    def growth(self, x: float) -> float:
        return 1.0 + 0.1 * math.log(x + math.exp(-10.0))


@dataclass(frozen=True, kw_only=True)
class Step(_Growth):
    """b + floor(s / (aT)): what is unlocked at the start, then everything at once."""

    kind: Literal["step"] = "step"

    def fraction(self, progress: float) -> float:
        return min(self.start_unlocked + _floor(min(progress / self.end_share, 1.0)), 1.0)


@dataclass(frozen=True, kw_only=True)
class FixedExponential(FixedPacing):
    """min(b inc^floor(s / L), 1): every L steps a constant factor more (Hacohen & Weinshall 2019, arXiv 1904.03626).

    Attributes:
        start_unlocked: b, the fraction unlocked at the start.
        increase: inc, the factor.
        step_share: L as a share of the budget.
    """

    kind: Literal["fixed_exponential"] = "fixed_exponential"
    start_unlocked: float = 0.04
    increase: float = 1.9
    step_share: float = 0.1

    def __post_init__(self) -> None:
        require(0 < self.start_unlocked <= 1, "start_unlocked", "in (0, 1]", self.start_unlocked)
        require(1 < self.increase < math.inf, "increase", "above 1", self.increase)
        require(0 < self.step_share < math.inf, "step_share", "positive", self.step_share)

    def fraction(self, progress: float) -> float:
        return _grown(self.start_unlocked, self.increase, progress / self.step_share)


@dataclass(frozen=True, kw_only=True)
class VariedExponential(FixedPacing):
    """min(b inc^(how many of the L_k < s), 1): the factor at steps of one's choice (Hacohen & Weinshall 2019).

    Attributes:
        start_unlocked: b, the fraction unlocked at the start.
        increase: inc, the factor.
        switch_shares: the L_k as shares of the budget.
    """

    kind: Literal["varied_exponential"] = "varied_exponential"
    start_unlocked: float = 0.04
    increase: float = 1.9
    switch_shares: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)

    def __post_init__(self) -> None:
        require(0 < self.start_unlocked <= 1, "start_unlocked", "in (0, 1]", self.start_unlocked)
        require(1 < self.increase < math.inf, "increase", "above 1", self.increase)
        rising = all(a < b for a, b in zip(self.switch_shares, self.switch_shares[1:], strict=False))
        inside = all(0 <= share < math.inf for share in self.switch_shares)
        require(rising and inside, "switch_shares", "shares of the budget in rising order", self.switch_shares)

    def fraction(self, progress: float) -> float:
        passed = sum(progress > share for share in self.switch_shares)
        return _grown(self.start_unlocked, self.increase, passed)


@dataclass(frozen=True, kw_only=True)
class SingleStep(FixedPacing):
    """b^(1 if s < L else 0): the fraction b until step L, then everything (Hacohen & Weinshall 2019).

    Attributes:
        start_unlocked: b, the fraction unlocked at the start.
        switch_share: L as a share of the budget.
    """

    kind: Literal["single_step"] = "single_step"
    start_unlocked: float = 0.3
    switch_share: float = 0.25

    def __post_init__(self) -> None:
        require(0 < self.start_unlocked <= 1, "start_unlocked", "in (0, 1]", self.start_unlocked)
        require(0 <= self.switch_share < math.inf, "switch_share", "at least 0", self.switch_share)

    def fraction(self, progress: float) -> float:
        return self.start_unlocked if progress < self.switch_share - _ROUNDING else 1.0

    def canonical(self) -> Pacing:
        if self.switch_share == 0:
            return self
        return Step(end_share=self.switch_share, start_unlocked=self.start_unlocked)


def _grown(start: float, increase: float, steps: float) -> float:
    """min(start increase^floor(steps), 1), where the power alone may be more than a float holds."""
    steps_to_one = math.ceil(-math.log(start) / math.log(increase))
    return 1.0 if steps >= steps_to_one else min(start * increase ** _floor(steps), 1.0)


def _floor(x: float) -> int:
    return math.floor(x + _ROUNDING)
