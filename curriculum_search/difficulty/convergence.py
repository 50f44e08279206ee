"""The convergence study of Kim et al. (2025): one model for each interval of noise levels, and how fast it learns.

Model i is trained with noise levels of interval i only, by an otherwise unchanged experiment: on as many images as each
other model, in the same order and from the same initial weights.  Its loss on its own interval is measured on a fixed
bank (the same images, noise levels and noise at every evaluation) with its averaged weights.

*The difficulty of an interval* is the share of the loss reduction that is still missing, averaged over training:

    s(n) = (L(n) - L_best) / (L_start - L_best),   clipped to [0, 1];   difficulty = mean of s over the images n seen

L_start is the loss of a network whose output is 0, which is where DiT, EDM's and guided-diffusion's networks start, and
L_best the lowest loss that the model reached.  Times the number of images, the difficulty is the mean number of images
after which the improvement came: 0 is at once, 1/2 a loss that falls in a straight line to the end.

*What can be compared.*  Between intervals, the level and the scale of the loss cancel, in which intervals differ most
(an interval may have a large loss that nothing can reduce).  Between parameterisations and processes: at one level,
the losses on epsilon, x0, v or velocity are the same denoising error, each times a factor of its own, which cancels as
far as it is constant over the interval.  What does not cancel is the start: an output of 0 means "the noisy image is
the image" to an epsilon-network and "the image is grey" to an x0-network.  So part of the reduction is learning to
pass the input through, at high noise for epsilon and at low noise for x0; that is what training by this loss
consists of, and makes the measure one of the task *as parameterised*.  To see through it, `loss_over_linear` gives the
best loss as a multiple of the loss of a linear denoiser fitted to the data (which knows no labels): a denoiser of the
same quality has the same ratio under every parameterisation.

*What it cannot see.*  A loss that is down at the first evaluation has difficulty 1 / (2 num_evaluations), however fast
it fell.  Nor what comes after the budget: the end counts as learned.  `late_share` is the share of the reduction that
came in the last quarter of training; where it is large, the difficulty is too small, and the cure is more
`training.total_images`.  One run for each interval also means one seed: repeat with another `seed` before small
differences are believed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from curriculum_search.conditions import Condition
from curriculum_search.config import Config
from curriculum_search.curriculum import Curriculum, DifficultyCurve, NoOrder
from curriculum_search.difficulty.axes import PrincipalAxes, coefficients
from curriculum_search.diffusion import Histogram, Process
from curriculum_search.evaluation import FixedBank, ValidationLoss
from curriculum_search.experiment import Experiment

#: `IntervalConvergence.late_share` above which an interval counts as still learning at the end.
LATE_SHARE = 0.1
_MOST = 0.9


@dataclass(frozen=True, kw_only=True)
class IntervalConvergence(Config):
    """How the model of one interval learned.

    Attributes:
        low, high: the interval of q.
        start_loss: of a network whose output is 0.
        best_loss: the lowest of `losses`.
        loss_over_linear: `best_loss` over that of the linear denoiser; below 1 is better than linear.
        difficulty: share of the reduction still missing, averaged over training, in [0, 1]; 1 without any reduction.
        images_to_most: images seen when nine tenths of the reduction had come; all of them without any reduction.
        late_share: share of the reduction that came in the last quarter of training.
        images: at each evaluation.
        losses: on the interval's part of the bank, at each evaluation.
        missing: the share s at each evaluation.
    """

    low: float
    high: float
    start_loss: float
    best_loss: float
    loss_over_linear: float
    difficulty: float
    images_to_most: float
    late_share: float
    images: tuple[int, ...]
    losses: tuple[float, ...]
    missing: tuple[float, ...]

    @classmethod
    def of(
        cls,
        interval: tuple[float, float],
        points: Sequence[tuple[int, float]],
        *,
        start_loss: float,
        linear_loss: float,
    ) -> "IntervalConvergence":
        """From (images seen, loss) at each evaluation, in order.

        Raises:
            ValueError: there is no point.
        """
        if not points:
            raise ValueError(f"the model of interval {interval} has no evaluation")
        images, losses = (tuple(column) for column in zip(*points, strict=True))
        best = min(losses)
        if best < start_loss:
            missing = np.clip((np.array([start_loss, *losses]) - best) / (start_loss - best), 0.0, 1.0)
        else:
            missing = np.ones(len(losses) + 1)
        clock = np.array([0, *images], dtype=np.float64)
        mean = np.sum(0.5 * (missing[1:] + missing[:-1]) * np.diff(clock)) / clock[-1]
        return cls(
            low=interval[0],
            high=interval[1],
            start_loss=start_loss,
            best_loss=best,
            loss_over_linear=best / linear_loss,
            difficulty=float(mean),
            images_to_most=_first_at_most(clock, missing, 1 - _MOST),
            late_share=float(np.interp(0.75 * clock[-1], clock, missing)),
            images=images,
            losses=losses,
            missing=tuple(missing[1:].tolist()),
        )


@dataclass(frozen=True, kw_only=True)
class ConvergenceCurve(Config):
    """The intervals of a study, from the cleanest to the noisiest."""

    intervals: tuple[IntervalConvergence, ...]

    def difficulty(self) -> DifficultyCurve:
        """The curve for difficulty.json, scaled to mean 1."""
        edges = [interval.low for interval in self.intervals] + [1.0]
        return DifficultyCurve.normalised(edges, [interval.difficulty for interval in self.intervals])

    def still_learning(self) -> tuple[IntervalConvergence, ...]:
        """The intervals whose difficulty is too small because training ended too early."""
        return tuple(interval for interval in self.intervals if interval.late_share > LATE_SHARE)


@dataclass(frozen=True, kw_only=True)
class ConvergenceStudy(Config):
    """Which models are trained, and how they are measured.

    Attributes:
        num_intervals: models; the intervals are equally wide in the noise quantile q.
        num_images: of the bank, at most as many as the reference has.
        levels_per_interval: noise levels of the bank in each interval.
        num_evaluations: of each run; the resolution of its curve.
    """

    num_intervals: int = 10
    num_images: int = 64
    levels_per_interval: int = 4
    num_evaluations: int = 20

    def __post_init__(self) -> None:
        for name in ("num_intervals", "num_images", "levels_per_interval", "num_evaluations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """(low, high) of each interval of q."""
        return tuple((i / self.num_intervals, (i + 1) / self.num_intervals) for i in range(self.num_intervals))

    def evaluator(self, base: Experiment) -> ValidationLoss:
        """What every run reports: the bank's loss on each interval."""
        return ValidationLoss(
            num_images=min(self.num_images, len(base.data.reference())),
            num_levels=self.num_intervals * self.levels_per_interval,
            num_intervals=self.num_intervals,
        )

    def experiments(self, base: Experiment) -> tuple[Experiment, ...]:
        """One experiment for each interval: `base` without a curriculum, its density restricted to the interval.

        An adaptive density stands for its start, which is uniform: what it would adapt to is what is measured.

        Raises:
            ValueError: more intervals than timesteps, or the base density has no mass in an interval.
        """
        num_levels = base.process.num_levels
        if num_levels is not None and self.num_intervals > num_levels:
            raise ValueError(f"intervals must be at most the {num_levels} timesteps, not {self.num_intervals}")
        density = base.density.piecewise(base.process)
        evaluation = replace(
            base.evaluation,
            evaluators=(self.evaluator(base),),
            final_evaluators=(),
            guidance_scale=1.0,
            grid_images=1,
        )
        training = replace(base.training, num_evaluations=min(self.num_evaluations, base.training.num_steps))
        common = replace(base, curriculum=Curriculum(order=NoOrder()), evaluation=evaluation, training=training)
        return tuple(replace(common, density=Histogram.of(density.restrict([interval]))) for interval in self.intervals)

    def metrics(self, base: Experiment) -> tuple[str, ...]:
        """The name of each run's loss on its own interval."""
        return self.evaluator(base).names[1:]

    def start_losses(self, base: Experiment) -> tuple[float, ...]:
        """The loss on each interval of a network whose output is 0, on the same bank as the runs' losses."""
        evaluator, process = self.evaluator(base), base.process
        bank = FixedBank(
            base.data.reference(),
            process,
            evaluator.num_images,
            evaluator.num_levels,
            seed=base.evaluation.seed,
            device=torch.device("cpu"),
            encoder=base.encoder,
        )

        def silent(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
            return x.new_zeros(len(x), process.out_channels(x.shape[1]), *x.shape[2:])

        return tuple(bank.losses(silent).view(self.num_intervals, -1).mean(1).tolist())

    def linear_losses(self, axes: PrincipalAxes, process: Process) -> tuple[float, ...]:
        """The loss on each interval of the linear denoiser fitted to `axes`, in units of the process's own loss.

        Without the variational term of a learned variance, which is small beside it.
        """
        num_levels = self.num_intervals * self.levels_per_interval
        q = (np.arange(num_levels) + 0.5) / num_levels
        errors = [axes.linear_denoiser_error(a, s) for a, s in zip(*coefficients(process, q), strict=True)]
        log_snr = torch.from_numpy(process.log_snr(q))
        native = torch.tensor(errors, dtype=torch.float64) * (log_snr - process.log_eps_loss_ratio(log_snr)).exp()
        return tuple(native.view(self.num_intervals, -1).mean(1).tolist())

    def measure(
        self, base: Experiment, points: Sequence[Sequence[tuple[int, float]]], axes: PrincipalAxes
    ) -> ConvergenceCurve:
        """The study's outcome.

        Args:
            base: the experiment whose levels are studied.
            points: for each interval, (images seen, loss on the interval) at each evaluation of its run.
            axes: of the training images.
        """
        rows = zip(self.intervals, points, self.start_losses(base), self.linear_losses(axes, base.process), strict=True)
        return ConvergenceCurve(
            intervals=tuple(
                IntervalConvergence.of(interval, curve, start_loss=start, linear_loss=linear)
                for interval, curve, start, linear in rows
            )
        )


def _first_at_most(clock: np.ndarray, values: np.ndarray, level: float) -> float:
    """Where the broken line through (clock, values) first comes down to `level`; its end if it never does."""
    below = np.flatnonzero(values <= level)
    if not len(below):
        return float(clock[-1])
    k = below[0]
    drop = values[k - 1] - values[k]
    return float(clock[k] - (clock[k] - clock[k - 1]) * (level - values[k]) / drop)
