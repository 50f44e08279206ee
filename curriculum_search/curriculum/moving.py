"""A base density that moves with time: a curriculum without clusters."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from curriculum_search.curriculum._checks import require
from curriculum_search.curriculum.pacing import FixedPacing, Step
from curriculum_search.diffusion.density import Density, LogitNormal, Uniform
from curriculum_search.diffusion.piecewise import PiecewiseDensity
from curriculum_search.diffusion.process import Process

#: Into how many steps the way from one density to the other is cut.
_STEPS = 64


@dataclass(frozen=True, kw_only=True)
class Moving(Density):
    """From one density to another: (1 - w) ``start`` + w ``end``, where w grows from 0 to 1 as the pacing says.

    Logit-normal at first and uniform from some moment on, with a pacing of kind ``step``, is Curriculum Sampling (Sun
    2026, arXiv 2603.12517), whose abstract does not say when; half of the budget is the default here.  The other
    pacings go over by degrees, in 64 steps.  Once w is 1, training is ordinary training on ``end``.

    Attributes:
        start: the density that training starts with, a constant one.
        end: the density that it ends with, a constant one.
        pacing: w as a function of the share of the budget that is spent: any pacing that only looks at the clock.
    """

    kind: Literal["moving"] = "moving"
    start: Density = field(default_factory=LogitNormal)
    end: Density = field(default_factory=Uniform)
    pacing: FixedPacing = field(default_factory=Step)
    moves: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            part = getattr(self, name)
            require(not (part.moves or part.adaptive), name, "a density that stays as it is", part.to_dict()["kind"])
        kind = self.pacing.to_dict()["kind"]
        require(isinstance(self.pacing, FixedPacing), "pacing", "of a kind that only looks at the clock", kind)

    def piecewise(self, process: Process) -> PiecewiseDensity:
        return self.end.piecewise(process)

    def resolved(self, process: Process) -> Density:
        start, end = self.start.resolved(process), self.end.resolved(process)
        return Moving(start=start, end=end, pacing=self.pacing)

    def canonical(self) -> Density:
        return self.end if self.start == self.end or self.way(0.0) == 1.0 else self

    def describe(self) -> str:
        """In a few words, as in "logit normal to uniform, step"."""
        start, end, pacing = (part.to_dict()["kind"].replace("_", " ") for part in (self.start, self.end, self.pacing))
        return f"{start} to {end}, {pacing}"

    def way(self, progress: float) -> float:
        """w, in whole 64ths, once the share `progress` in [0, 1] of the budget is spent."""
        return int(min(self.pacing.fraction(progress) + 1e-9, 1.0) * _STEPS) / _STEPS
