"""The base density of a run at work: it stays, it moves with the clock, or it follows the losses."""

from typing import Any

import numpy as np
from torch import Tensor

from curriculum_search.curriculum.losses import LossHistory
from curriculum_search.curriculum.moving import Moving
from curriculum_search.diffusion.adaptive import AdaptiveDensity
from curriculum_search.diffusion.density import Density
from curriculum_search.diffusion.piecewise import PiecewiseDensity
from curriculum_search.diffusion.process import Process

# Steps between two looks at the losses that an adaptive density follows.
_WINDOW_STEPS = 8


class BaseDensity:
    """The base density of q, one that stays as it is.  Those that do not are subclasses.

    Attributes:
        settled: what ordinary training draws from: where a density that moves ends, and one that adapts begins.
        present: what is drawn from now, where nothing is locked.
    """

    needs_losses = False
    """Whether `observe` has to be called."""

    unbiased = False
    """Whether losses are to be weighted so that their expectation is that under `settled`."""

    def __init__(self, settled: PiecewiseDensity) -> None:
        self.settled = self.present = settled

    @property
    def knots(self) -> np.ndarray:
        """Knots that all the densities that `present` can be share, float64."""
        return self.settled.knots

    @property
    def way(self) -> float:
        """The share of its way that it has gone: 1 unless it moves."""
        return 1.0

    def observe(self, q: Tensor, losses: Tensor, *, shared: bool) -> None:
        """Take note of per-sample losses [B] at q [B]; see `CurriculumSampler.observe`."""

    def update(self, progress: float) -> bool:
        """End a step, after which the share `progress` of the budget is spent; whether `present` is another now."""
        return False

    def state_dict(self) -> dict[str, Any] | None:
        """What `load_state_dict` needs beside the clock."""
        return None

    def load_state_dict(self, state: Any, progress: float) -> None:
        """Go on where `state_dict` was taken, at the share `progress` of the budget."""


class _MovingBase(BaseDensity):
    def __init__(self, density: Moving, process: Process) -> None:
        super().__init__(density.piecewise(process))
        self._density, self._start = density, density.start.piecewise(process)
        self._way = -1.0
        self.update(0.0)

    @property
    def knots(self) -> np.ndarray:
        return np.union1d(self._start.knots, self.settled.knots)

    @property
    def way(self) -> float:
        return self._way

    def update(self, progress: float) -> bool:
        before, self._way = self._way, self._density.way(progress)
        if self._way == before:
            return False
        if self._way == 1.0:
            self.present = self.settled
        else:
            self.present = PiecewiseDensity.mix([1.0 - self._way, self._way], [self._start, self.settled])
        return True

    def load_state_dict(self, state: Any, progress: float) -> None:
        self.update(progress)


class _FollowingBase(BaseDensity):
    needs_losses = True

    def __init__(self, density: AdaptiveDensity, process: Process) -> None:
        super().__init__(density.piecewise(process))
        self.unbiased = density.unbiased
        self._density, self._process = density, process
        self._losses = LossHistory(density.bins(process), density.history, window_steps=_WINDOW_STEPS)

    def observe(self, q: Tensor, losses: Tensor, *, shared: bool) -> None:
        self._losses.add(q, losses, shared=shared)

    def update(self, progress: float) -> bool:
        if not self._losses.end_step():
            return False
        self.present = self._density.learned(self._losses.losses, self._process)
        return True

    def state_dict(self) -> dict[str, Any]:
        return self._losses.state_dict()

    def load_state_dict(self, state: Any, progress: float) -> None:
        self._losses.load_state_dict(state)
        self.present = self._density.learned(self._losses.losses, self._process)


def base_density(density: Density, process: Process) -> BaseDensity:
    """What `density` is for `process`, at the beginning of a run."""
    if isinstance(density, Moving):
        return _MovingBase(density, process)
    if isinstance(density, AdaptiveDensity):
        return _FollowingBase(density, process)
    return BaseDensity(density.piecewise(process))
