"""What a study may still begin: pure functions of what it is, what limits it and what it has spent.

The confirmation is reserved out of the budget: a trial begins only if what it may well need, up to half of the budget
and the least in any case, and the ablation still fit behind it.  What has begun is finished.  Images are exact, so that
their limit is never passed; how long runs last is an estimate, and the least confirmation, for which time was kept, is
run even where it was wrong.
"""

import heapq
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from curriculum_search.loading import UserError
from curriculum_search.search.design import SIZES, Design, Size
from curriculum_search.search.study import Study, StudyFile

#: By how much the time of what is still to come may be underestimated.
_MARGIN = 1.1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a study may cost, over all commands that work on it.  None: as much as it likes.

    Attributes:
        max_images: training images of all runs.
        max_hours: that a command is at work.
        max_gpu_hours: GPUs times the hours that runs hold them.
    """

    max_images: int | None = None
    max_hours: float | None = None
    max_gpu_hours: float | None = None

    @classmethod
    def of(cls, study: Study) -> "Limits":
        """Those of a study."""
        return cls(max_images=study.max_images, max_hours=study.max_hours, max_gpu_hours=study.max_gpu_hours)

    @property
    def of_time(self) -> bool:
        """Whether there is a limit of hours or GPU-hours."""
        return self.max_hours is not None or self.max_gpu_hours is not None

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return self.max_images is not None or self.of_time


@dataclass(frozen=True, kw_only=True)
class Account:
    """What a study has spent, and what is known of what the rest will cost.

    Attributes:
        images: reported by all its own runs.
        seconds: that a command was at work.
        gpu_seconds: GPUs times the seconds that runs held them.
        shares: of the runs under way, the share of its images that each has reported.
        begun_images: images that the runs under way have before them.
        confirmed: runs of the least confirmation that have ended.
        concurrency: by size, the runs that the cluster has room for at once; None: not known.
        run_seconds: by size, expected seconds of a run; None: not known.
        start_up: seconds until the first runs of a phase begin to train.
        started: whether the phase has begun, so that starting it up is over.
        closed: phases that limits of time have ended before.
        pristine: whether the study has no runs yet.
    """

    images: int
    seconds: float
    gpu_seconds: float
    shares: Sequence[float]
    begun_images: int
    confirmed: int
    concurrency: Mapping[Size, int | None]
    run_seconds: Mapping[Size, float | None]
    start_up: float
    started: bool
    closed: frozenset[str]
    pristine: bool

    def cautious_seconds(self, size: Size) -> float:
        """Expected seconds of a run, and a little more; 0 where nothing is known."""
        return _MARGIN * (self.run_seconds[size] or 0.0)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A study, its limits and its account: what may be begun now.

    Attributes:
        design: the runs of the study.
        limits: what it may cost.
        account: what it has cost.
    """

    design: Design
    limits: Limits
    account: Account

    def trials_left(self, waiting: Sequence[int], most: int) -> int:
        """How many more trials may begin, each with all its seeds.

        As long as it is not known how many runs there is room for, or how long one lasts, a limit of time ends the
        search only when it is over.

        Args:
            waiting: the runs of the search that have to be trained before these trials begin; of each, the images that
                it has still to see.
            most: how many there could be.
        """
        if not self.limits.any or most <= 0:
            return max(most, 0)
        if "search" in self.account.closed:
            return 0
        counts = (self._trials_in_images(waiting), self._trials_in_gpu_hours(waiting))
        return self._trials_in_hours(waiting, min([most, *(count for count in counts if count is not None)]))

    def runs_left(self, begun_images: int = 0, *, granted: int = 0, ablation: bool = False) -> int | None:
        """How many full runs may begin when none is under way; None: as many as one likes.

        Args:
            begun_images: images that those among them which were interrupted have seen: only the rest is due.
            granted: runs that are trained even where the time is used up, because earlier runs took longer than was
                expected when this time was kept for them.
            ablation: whether they are those of the ablation, for which else some are kept back.
        """
        limits, account = self.limits, self.account
        if not limits.any:
            return None
        if ("ablation" if ablation else "confirmation") in account.closed:
            return 0
        kept = 0 if ablation else self.design.ablation
        counts, timed = [], []
        if limits.max_images is not None:
            left = limits.max_images - account.images + begun_images
            counts.append(left // self.design.images("full") - kept)
        run_seconds = account.cautious_seconds("full")
        if limits.max_hours is not None:
            seconds = 3600 * limits.max_hours - account.seconds - (0.0 if account.started else account.start_up)
            at_once = account.concurrency["full"] or 1
            if seconds <= 0 or run_seconds:
                rounds = math.floor(seconds / run_seconds) - math.ceil(kept / at_once) if seconds > 0 else 0
                timed.append(rounds * at_once)
        if limits.max_gpu_hours is not None:
            seconds = 3600 * limits.max_gpu_hours - account.gpu_seconds
            cost = run_seconds * self.design.gpus("full")
            if seconds <= 0 or cost:
                timed.append(math.floor(seconds / cost) - kept if seconds > 0 else 0)
        counts += [max(min(timed), granted)] if timed else []
        return max(min(counts), 0) if counts else None

    def fitting(self, rests: Iterable[int]) -> int:
        """How many runs, in their order, the images left are enough for to the last one.

        Args:
            rests: images that each of them has before it.
        """
        if self.limits.max_images is None:
            return len(list(rests))
        left = self.limits.max_images - self.account.images
        return sum(images <= left for images in itertools.accumulate(rests))

    def _trials_in_images(self, waiting: Sequence[int]) -> int | None:
        if self.limits.max_images is None:
            return None
        full = self.design.images("full")
        reserved = (self._kept(self.limits.max_images / full) + self.design.ablation) * full
        # What interrupted runs have seen is spent, and the rest of those that wait is in `waiting`.
        left = self.limits.max_images - self.account.images - self.account.begun_images - sum(waiting) - reserved
        return left // (self.design.per_trial * self.design.images("small"))

    def _trials_in_gpu_hours(self, waiting: Sequence[int]) -> int | None:
        if self.limits.max_gpu_hours is None:
            return None
        left = 3600 * self.limits.max_gpu_hours - self.account.gpu_seconds
        small, full = (self.account.cautious_seconds(size) * self.design.gpus(size) for size in SIZES)
        if left <= 0 or not small:
            return 0 if left <= 0 else None
        runs = sum(1 - share for share in self.account.shares) + sum(waiting) / self.design.images("small")
        reserved = (self._kept(_ratio(3600 * self.limits.max_gpu_hours, full)) + self.design.ablation) * full
        return math.floor((left - runs * small - reserved) / (self.design.per_trial * small))

    def _trials_in_hours(self, waiting: Sequence[int], most: int) -> int:
        """Lay the runs out one after the other, each where there is first room."""
        if self.limits.max_hours is None:
            return max(most, 0)
        left = 3600 * self.limits.max_hours - self.account.seconds
        small, full = (self.account.cautious_seconds(size) for size in SIZES)
        at_once = self.account.concurrency["small"]
        if left <= 0 or not small or not at_once:
            return 0 if left <= 0 else max(most, 0)
        at_once_after = self.account.concurrency["full"] or at_once
        parts = (self._kept(_ratio(3600 * self.limits.max_hours * at_once_after, full)), self.design.ablation)
        left -= sum(math.ceil(runs / at_once_after) * full + self.account.start_up for runs in parts if runs > 0)
        free = [(1 - share) * small for share in self.account.shares]
        free += [0.0] * max(at_once - len(free), 0)
        heapq.heapify(free)
        for images in waiting:
            heapq.heapreplace(free, free[0] + images / self.design.images("small") * small)
        for trials in range(most):
            for _ in range(self.design.per_trial):
                heapq.heapreplace(free, free[0] + small)
            if max(free) > left:
                return trials
        return max(most, 0)

    def _kept(self, affordable: float) -> int:
        """Runs that are kept back for the confirmation out of those that a whole limit is enough for: what it may well
        need, as long as half of the limit is left for the search, and the least in any case."""
        most = max(affordable / 2 - self.design.ablation, self.design.confirmation)
        return int(min(self.design.whole_confirmation, most)) - self.account.confirmed

    def check_time(self, where: str) -> None:
        """Whether the limits of time let a study that has no runs yet come to a verdict.

        Raises:
            UserError: one does not, and what would.
        """
        design, account = self.design, self.account
        if not account.pristine:
            return
        small, full = (account.cautious_seconds(size) / 3600 for size in SIZES)
        runs = design.baselines + (design.per_trial if design.trials else 0)
        at_once = account.concurrency["full"] or 1
        hours = math.ceil(runs / (account.concurrency["small"] or 1)) * small
        hours += sum(math.ceil(part / at_once) for part in (design.confirmation, design.ablation)) * full
        hours += account.start_up / 3600 * (1 + (design.confirmation > 0) + (design.ablation > 0))
        gpu_hours = runs * small * design.gpus("small") + design.reserve * full * design.gpus("full")
        for name, given, unit, least in (
            ("max_hours", self.limits.max_hours, "hours", hours),
            ("max_gpu_hours", self.limits.max_gpu_hours, "GPU-hours", gpu_hours),
        ):
            if given is not None and given < least:
                raise UserError(
                    f"{where}: study.{name}: {given:g} is not enough for {design.least_parts}, which take "
                    f"about {_rounded_up(least)} {unit} as measured on a few steps; raise it, or lower "
                    f"base.training.total_images, study.confirmation or study.ablation_seeds"
                )


def check_limits(file: StudyFile) -> None:
    """Whether the limits that need no measuring let the study come to a verdict.

    Raises:
        UserError: `study.max_images` is too small, and how many images would do; or `study.max_gpu_hours` limits
            nothing.
    """
    design, given = Design.of(file), file.study.max_images
    if given is not None and given < design.least_images:
        raise UserError(
            f"{file.path}: study.max_images: {given:,} is not enough for {design.least_parts}, which need "
            f"{design.least_images:,}; raise it to that at least, or lower base.training.total_images, "
            f"study.confirmation or study.ablation_seeds"
        )
    if file.study.max_gpu_hours is not None and not file.base.resources.gpus_per_worker:
        raise UserError(
            f"{file.path}: study.max_gpu_hours: {file.study.max_gpu_hours:g} limits nothing, for "
            f"base.resources.gpus_per_worker is 0; use study.max_hours, or give runs GPUs"
        )


def _ratio(limit: float, cost: float) -> float:
    return limit / cost if cost else math.inf


def _rounded_up(value: float) -> str:
    """To two digits, so that what is said to be enough is."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / step) * step:.2g}"
