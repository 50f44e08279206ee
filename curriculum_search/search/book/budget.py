"""What a study may cost and what it has cost: images, hours and GPU-hours, over all the commands that worked on it.

Images are counted from the runs' folders.  Time is kept in ``spent.json`` in the study's folder, for the folder of a
run does not tell of stretches that were interrupted; a killed command loses what it had not written, less than a
minute.  The confirmation is reserved out of the budget: a trial begins only if what it may well need, up to half of the
budget and the least in any case, and the ablation still fit behind it.  What has begun is finished.  Images are exact,
so that their limit is never passed; how long runs last is an estimate, and the least confirmation, for which time was
kept, is run even where it was wrong.
"""

import heapq
import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from curriculum_search.atomic import replacing
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.search.book.scale import LIMITS, Limit, Scale, Size, recorded_runs
from curriculum_search.search.execution.jobs import Job, Status
from curriculum_search.search.study import StudyFile

_SPENT = "spent.json"
_SAVE_SECONDS = 20.0
#: By how much the time of what is still to come may be underestimated.
_MARGIN = 1.1


@dataclass(kw_only=True)
class _Spent:
    """What ``spent.json`` holds.

    Attributes:
        seconds: that a command was at work.
        gpu_seconds: GPUs times the seconds that runs held them.
        concurrency: by size, runs at once when the cluster was last seen.
        expected: by size and resources, seconds of a run as measured on a few steps, before any had ended.
        ended: by size, the seconds and the images of the runs that came to an end.
        start_up: seconds until the first runs of a phase begin to train, as measured with them.
        closed: phases that the time has ended, each with the settings under which it did.
    """

    seconds: float = 0.0
    gpu_seconds: float = 0.0
    concurrency: dict[str, int] = field(default_factory=dict)
    expected: dict[str, float] = field(default_factory=dict)
    ended: dict[str, tuple[float, int]] = field(default_factory=dict)
    start_up: float = 0.0
    closed: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class _UnderWay:
    """A run that has begun and not ended."""

    size: Size
    began: float
    images: int
    total_images: int
    since: float  #: when it began to count for how long a run lasts
    images_before: int  #: that it had seen then
    starts_process: bool


class Budget:
    """The limits of a study, and what is spent of them.

    Args:
        file: the study file.
        folder: of the study; it is read now, and written to only `at_work`.
        limits: those that hold, of the study's.
        clock: gives seconds.
    """

    def __init__(
        self,
        file: StudyFile,
        folder: Path,
        *,
        limits: Sequence[Limit] = LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.file = file
        self.max_images = file.study.max_images if "max_images" in limits else None
        self.max_hours = file.study.max_hours if "max_hours" in limits else None
        self.max_gpu_hours = file.study.max_gpu_hours if "max_gpu_hours" in limits else None
        self.scale = Scale.of(file)
        self.path = folder / _SPENT
        self._clock = clock
        self._spent = _Spent(**json.loads(self.path.read_text())) if self.path.exists() else _Spent()
        self._since: float | None = None
        self._saved = clock()
        self._under_way: dict[str, _UnderWay] = {}
        self._begun = 0
        self._ended: dict[str, int] = {}  # run to its images
        self._unfinished: dict[str, int] = {}  # the same of those that were interrupted or failed, to be gone on with
        self.interrupted: set[str] = set()  #: full runs that began and have not ended
        self._confirmed = 0
        if self.limited:
            runs = list(recorded_runs(folder))
            for run in runs:
                to_be_resumed = run.status in (None, Status.FAILED)
                (self._unfinished if to_be_resumed else self._ended)[run.key] = run.images
            self.interrupted = {r.key for r in runs if r.status is None and r.seed not in file.search_seeds}
            self._spent.gpu_seconds = max(self._spent.gpu_seconds, sum(run.gpu_seconds for run in runs))
            self._confirmed = sum(run.identity() in self._ended for run in self.scale.sure_runs(file))
        self._images = sum(self._ended.values())

    # What there is, and what is spent.

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return self.max_images is not None or self.limited_in_time

    @property
    def limited_in_time(self) -> bool:
        """Whether there is a limit of hours or GPU-hours."""
        return self.max_hours is not None or self.max_gpu_hours is not None

    @property
    def images(self) -> int:
        """Images seen by all runs; where nothing is limited, by those that began since this was made."""
        under_way = sum(run.images for run in self._under_way.values())
        return self._images + sum(self._unfinished.values()) + under_way

    @property
    def seconds(self) -> float:
        """Seconds that a command was at work on the study."""
        return self._spent.seconds + (self._clock() - self._since if self._since is not None else 0.0)

    @property
    def gpu_seconds(self) -> float:
        """GPUs times the seconds that runs held them."""
        now = self._clock()
        held = sum((now - run.began) * self.scale.gpus(run.size) for run in self._under_way.values())
        return self._spent.gpu_seconds + held

    def run_seconds(self, size: Size) -> float | None:
        """Expected seconds of a run: by those that have ended, else as measured on a few steps; None: not known."""
        seconds, images = self._spent.ended.get(self._own(size), (0.0, 0))
        return seconds / images * self.scale.images(size) if images else self._spent.expected.get(self._given(size))

    def expect(self, size: Size, run_seconds: float, *, start_up: float = 0.0) -> None:
        """Take how long a run was measured to last with the resources that it has, and a phase to start up."""
        self._spent.expected[self._given(size)] = run_seconds
        self._spent.start_up = max(self._spent.start_up, start_up)

    def place(self, size: Size, concurrency: int) -> None:
        """Take how many runs there is room for at once."""
        self._spent.concurrency[self._own(size)] = concurrency

    def rooms(self, size: Size) -> int | None:
        """How many runs there is room for at once; None: not known."""
        return self._spent.concurrency.get(self._own(size))

    def check_time(self) -> None:
        """Whether the limits of time let a study that has no runs yet come to a verdict.

        Raises:
            UserError: one does not, and what would.
        """
        small, full = (_MARGIN * (self.run_seconds(size) or 0.0) / 3600 for size in ("small", "full"))
        if self._ended or self._unfinished or not self.limited_in_time:
            return
        scale = self.scale
        runs = scale.baselines + (scale.per_trial if scale.trials else 0)
        hours = math.ceil(runs / (self.rooms("small") or 1)) * small
        rooms = self.rooms("full") or 1
        hours += sum(math.ceil(part / rooms) for part in (scale.confirmation, scale.ablation)) * full
        hours += self._spent.start_up / 3600 * (1 + (scale.confirmation > 0) + (scale.ablation > 0))
        gpu_hours = runs * small * scale.gpus("small") + scale.reserve * full * scale.gpus("full")
        for name, unit, least in (("max_hours", "hours", hours), ("max_gpu_hours", "GPU-hours", gpu_hours)):
            given = getattr(self, name)
            if given is not None and given < least:
                raise UserError(
                    f"{self.file.path}: study.{name}: {given:g} is not enough for {scale.least_parts}, which take "
                    f"about {_rounded_up(least)} {unit} as measured on a few steps; raise it, or lower "
                    f"base.training.total_images, study.confirmation or study.ablation_seeds"
                )

    # What may be begun.

    @property
    def may_grow(self) -> bool:
        """Whether runs are under way that may turn out to cost less than what is kept for them."""
        return self.limited and bool(self._under_way)

    def trials_left(self, waiting: Iterable[Experiment], most: int) -> int:
        """How many more trials may begin, each with all its seeds.

        As long as it is not known how many runs there is room for, or how long one lasts, a limit of time ends the
        search only when it is over.

        Args:
            waiting: runs of the search that are to begin before them.
            most: how many there could be.
        """
        if not self.limited or most <= 0:
            return max(most, 0)
        if self._is_closed("search"):
            return 0
        rest = [self._rest(experiment) for experiment in waiting]
        left = most
        for limit in (self._trials_in_images(rest), self._trials_in_gpu_hours(rest)):
            left = left if limit is None else min(left, limit)
        return self._trials_in_hours(rest, left)

    def runs_left(self, resumable: Iterable[str] = (), *, granted: int = 0, ablation: bool = False) -> int | None:
        """How many full runs may begin when none is under way; None: as many as one likes.

        Args:
            resumable: identities of runs that would be among them: of those that were interrupted only the rest is due.
            granted: runs that time was kept for, and that are run even if all took longer than was expected.
            ablation: whether they are those of the ablation, for which else some are kept back.
        """
        if not self.limited:
            return None
        if self._is_closed("ablation" if ablation else "confirmation"):
            return 0
        kept = 0 if ablation else self.scale.ablation
        limits, times = [], []
        if self.max_images is not None:
            begun = sum(self._unfinished.get(key, 0) for key in resumable) if self._unfinished else 0
            limits.append((self.max_images - self.images + begun) // self.scale.images("full") - kept)
        run_seconds = _MARGIN * (self.run_seconds("full") or 0.0)
        if self.max_hours is not None:
            left = 3600 * self.max_hours - self.seconds - (0.0 if self._begun else self._spent.start_up)
            rooms = self.rooms("full") or 1
            if left <= 0 or run_seconds:
                times.append((math.floor(left / run_seconds) - math.ceil(kept / rooms)) * rooms if left > 0 else 0)
        if self.max_gpu_hours is not None:
            left, cost = 3600 * self.max_gpu_hours - self.gpu_seconds, run_seconds * self.scale.gpus("full")
            if left <= 0 or cost:
                times.append(math.floor(left / cost) - kept if left > 0 else 0)
        limits += [max(min(times), granted)] if times else []
        return max(min(limits), 0) if limits else None

    def _trials_in_images(self, rest: Sequence[int]) -> int | None:
        if self.max_images is None:
            return None
        begun = sum(run.total_images - run.images for run in self._under_way.values())
        full = self.scale.images("full")
        reserved = (self._kept(self.max_images / full) + self.scale.ablation) * full
        # What the unfinished have seen is spent, and the rest of those that wait is `rest`.
        left = self.max_images - self.images - begun - sum(rest) - reserved
        return left // (self.scale.per_trial * self.scale.images("small"))

    def _trials_in_gpu_hours(self, rest: Sequence[int]) -> int | None:
        if self.max_gpu_hours is None:
            return None
        left = 3600 * self.max_gpu_hours - self.gpu_seconds
        small, full = (_MARGIN * (self.run_seconds(size) or 0.0) * self.scale.gpus(size) for size in ("small", "full"))
        if left <= 0 or not small:
            return 0 if left <= 0 else None
        under_way = sum(1 - run.images / run.total_images for run in self._under_way.values())
        runs = under_way + sum(rest) / self.scale.images("small")
        reserved = (self._kept(_ratio(3600 * self.max_gpu_hours, full)) + self.scale.ablation) * full
        return math.floor((left - runs * small - reserved) / (self.scale.per_trial * small))

    def _trials_in_hours(self, rest: Sequence[int], most: int) -> int:
        """Lay the runs out one after the other, each where there is first room."""
        if self.max_hours is None:
            return max(most, 0)
        left = 3600 * self.max_hours - self.seconds
        small, full = (_MARGIN * (self.run_seconds(size) or 0.0) for size in ("small", "full"))
        if left <= 0 or not small or not (rooms := self.rooms("small")):
            return 0 if left <= 0 else max(most, 0)
        rooms_after = self.rooms("full") or rooms
        parts = (self._kept(_ratio(3600 * self.max_hours * rooms_after, full)), self.scale.ablation)
        left -= sum(math.ceil(runs / rooms_after) * full + self._spent.start_up for runs in parts if runs > 0)
        shares = [1 - run.images / run.total_images for run in self._under_way.values()]
        free = [share * small for share in shares] + [0.0] * max(rooms - len(shares), 0)
        heapq.heapify(free)
        for images in rest:
            heapq.heapreplace(free, free[0] + images / self.scale.images("small") * small)
        for trials in range(most):
            for _ in range(self.scale.per_trial):
                heapq.heapreplace(free, free[0] + small)
            if max(free) > left:
                return trials
        return max(most, 0)

    def _kept(self, affordable: float) -> int:
        """Runs that are kept back for the confirmation out of those that a whole limit is enough for: what it may well
        need, as long as half of the limit is left for the search, and the least in any case."""
        most = max(affordable / 2 - self.scale.ablation, self.scale.confirmation)
        return int(min(self.scale.whole_confirmation, most)) - self._confirmed

    def fitting(self, runs: Sequence[Experiment]) -> int:
        """How many of these runs, in their order, the images left are enough for to the last one."""
        if self.max_images is None:
            return len(runs)
        spent = itertools.accumulate(self._rest(run) for run in runs)
        return sum(images <= self.max_images - self.images for images in spent)

    def _own(self, size: Size) -> Size:
        """Without a proxy there is only one size."""
        return size if self.file.study.proxy else "full"

    def _given(self, size: Size) -> str:
        """What decides how fast runs go by."""
        return json.dumps([self._own(size), self.rooms(size), self.scale.experiment(size).resources.to_dict()])

    def _rest(self, experiment: Experiment) -> int:
        """Images that a run has before it."""
        key = experiment.identity()
        if key in self._ended or key in self._under_way:
            return 0
        return experiment.training.total_images - self._unfinished.get(key, 0)

    # What time has ended stays ended, so that the same command again shows the result and trains nothing.

    def close(self, phase: str) -> None:
        """Note that a phase has come to its end under these limits."""
        if self.limited_in_time:
            self._spent.closed[phase] = self.settings
            self._save()

    def _is_closed(self, phase: str) -> bool:
        return self.limited_in_time and self._spent.closed.get(phase) == self.settings

    @property
    def settings(self) -> str:
        """The fields of the study that bound what is run."""
        plain = self.file.study.to_dict()
        names = ("trials", "max_images", "max_hours", "max_gpu_hours", "confirmation", "ablation_seeds")
        return json.dumps({name: plain[name] for name in names}, sort_keys=True)

    # What is being spent.

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count the time within, and write it down; what is still under way at its end was interrupted."""
        self._since = self._clock()
        try:
            yield
        finally:
            for key in list(self._under_way):
                self._end(key)
            self._spent.seconds, self._since = self.seconds, None
            self._save()

    def began(self, job: Job) -> None:
        """Take that a run has been handed out."""
        seed, total_images = job.experiment["seed"], job.experiment["training"]["total_images"]
        first = self._unfinished.pop(job.key, 0)
        self.interrupted.discard(job.key)
        self._begun += 1
        size: Size = "small" if seed in self.file.search_seeds else "full"
        self._under_way[job.key] = _UnderWay(
            size=self._own(size),
            began=self._clock(),
            images=first,
            total_images=total_images,
            since=self._clock(),
            images_before=first,
            starts_process=self._begun <= (self.rooms(size) or 1),
        )

    def reported(self, job: Job, images: int) -> None:
        """Take how far a run has come."""
        run = self._under_way[job.key]
        if run.starts_process and run.images == run.images_before < images < run.total_images:
            run.since, run.images_before = self._clock(), images
        run.images = max(run.images, images)

    def ended(self, job: Job, status: Status) -> None:
        """Take that a run has ended."""
        run = self._under_way[job.key]
        if status is not Status.FAILED and run.images > run.images_before:
            seconds, images = self._spent.ended.get(run.size, (0.0, 0))
            self._spent.ended[run.size] = (
                seconds + self._clock() - run.since,
                images + run.images - run.images_before,
            )
        self._end(job.key, done=status is not Status.FAILED)

    def tick(self) -> None:
        """Write down now and then what has been spent."""
        if self._clock() - self._saved > _SAVE_SECONDS:
            self._save()

    def _end(self, key: str, *, done: bool = False) -> None:
        run = self._under_way.pop(key)
        self._spent.gpu_seconds += (self._clock() - run.began) * self.scale.gpus(run.size)
        (self._ended if done else self._unfinished)[key] = run.images
        self._images += run.images if done else 0

    def _save(self) -> None:
        self._saved = self._clock()
        now = replace(self._spent, seconds=self.seconds, gpu_seconds=self.gpu_seconds)
        with replacing(self.path) as partial:
            partial.write_text(json.dumps(asdict(now)))


def _ratio(limit: float, cost: float) -> float:
    return limit / cost if cost else math.inf


def _rounded_up(value: float) -> str:
    """To two digits, so that what is said to be enough is."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / step) * step:.2g}"
