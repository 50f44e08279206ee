"""What a study has cost, over all the commands that worked on it: images, hours and GPU-hours.

Images are counted from the runs' folders.  Time is kept in ``spent.json`` in the study's folder, as a run's folder does
not tell of stretches that were interrupted; a killed command loses what it had not written, less than a minute.  Where
that file cannot be read, time is what the runs' folders tell after all, and what was measured is measured again.
"""

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace

from curriculum_search.atomic import set_aside, write_whole
from curriculum_search.runs.job import Status
from curriculum_search.runs.record import LiveRun, RunRecord
from curriculum_search.runs.store import RunStore
from curriculum_search.search.arms import Run
from curriculum_search.search.budget import Account, Budget, Limits
from curriculum_search.search.design import SIZES, Design, Size
from curriculum_search.search.study import StudyFile

_SPENT = "spent.json"
_SAVE_SECONDS = 20.0


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


class Ledger:
    """Keeps what is spent, and says what may be begun.

    Args:
        file: the study file.
        store: the runs of the study; its clock is the ledger's.

    The folder of the study is read now, and written to only `at_work` and by `close`.
    """

    def __init__(self, file: StudyFile, store: RunStore) -> None:
        self.file = file
        self.store = store
        self.design = Design.of(file)
        self.limits = Limits.of(file.study)
        self._resources = {size: self.design.experiment(size).resources.to_dict() for size in SIZES}
        self._path = store.root / _SPENT
        self._spent = self._load()
        self._since: float | None = None
        self._saved = store.clock()
        self._confirmed = 0
        if self.limits.any:
            records = store.records
            recorded = sum(run.seconds * run.gpus for run in records.values() if not run.adopted)
            self._spent.gpu_seconds = max(self._spent.gpu_seconds, recorded)
            sure = (records.get(run.key) for run in self.design.sure_runs(file))
            self._confirmed = sum(record is not None and record.settled for record in sure)

    # What is spent.

    @property
    def images(self) -> int:
        """Images reported by all runs that this study has trained."""
        return sum(record.images for record in self.store.records.values() if not record.adopted)

    @property
    def seconds(self) -> float:
        """Seconds that a command was at work on the study."""
        return self._spent.seconds + (self.store.clock() - self._since if self._since is not None else 0.0)

    @property
    def gpu_seconds(self) -> float:
        """GPUs times the seconds that runs held them."""
        now = self.store.clock()
        return self._spent.gpu_seconds + sum((now - run.began) * run.record.gpus for run in self.store.live.values())

    def rest(self, run: Run) -> int:
        """Images that a run has before it."""
        record = self.store.records.get(run.key)
        if record is not None and (record.settled or run.key in self.store.live):
            return 0
        return run.experiment.training.total_images - (record.images if record else 0)

    def begun_images(self, runs: Iterable[str]) -> int:
        """Images that those of the runs with these keys have seen which were interrupted and are to be gone on with."""
        waiting = (self.store.records.get(key) for key in set(runs) - set(self.store.live))
        return sum(record.images for record in waiting if record is not None and not record.settled)

    @property
    def interrupted(self) -> set[str]:
        """Keys of the full runs that have begun, have not ended and are not under way."""
        return {
            record.key
            for record in self.store.records.values()
            if record.status is None and record.key not in self.store.live and record.seed not in self.file.search_seeds
        }

    # What may be begun.

    @property
    def budget(self) -> Budget:
        """What may be begun, as things stand."""
        live = self.store.live.values()
        return Budget(
            design=self.design,
            limits=self.limits,
            account=Account(
                images=self.images,
                seconds=self.seconds,
                gpu_seconds=self.gpu_seconds,
                shares=[run.share for run in live],
                begun_images=sum(run.total_images - run.images for run in live),
                confirmed=self._confirmed,
                concurrency={size: self.concurrency(size) for size in SIZES},
                run_seconds={size: self.run_seconds(size) for size in SIZES},
                start_up=self._spent.start_up,
                started=self.store.begun > 0,
                closed=self._closed,
                pristine=not self.store.records,
            ),
        )

    @property
    def may_grow(self) -> bool:
        """Whether runs are under way that may turn out to cost less than what is kept for them."""
        return self.limits.any and bool(self.store.live)

    # What is known of time.

    def run_seconds(self, size: Size) -> float | None:
        """Expected seconds of a run: by those that have ended, else as measured on a few steps; None: not known."""
        seconds, images = self._spent.ended.get(self._own(size), (0.0, 0))
        return seconds / images * self.design.images(size) if images else self._spent.expected.get(self._given(size))

    def expect(self, size: Size, run_seconds: float, *, start_up: float = 0.0) -> None:
        """Take how long a run was measured to last with the resources that it has, and a phase to start up."""
        self._spent.expected[self._given(size)] = run_seconds
        self._spent.start_up = max(self._spent.start_up, start_up)

    def concurrency(self, size: Size) -> int | None:
        """How many runs there is room for at once; None: not known."""
        return self._spent.concurrency.get(self._own(size))

    def set_concurrency(self, size: Size, concurrency: int) -> None:
        """Take how many runs there is room for at once."""
        self._spent.concurrency[self._own(size)] = concurrency

    def _own(self, size: Size) -> Size:
        """Without a proxy there is only one size."""
        return size if self.design.proxy else "full"

    def _given(self, size: Size) -> str:
        """What decides how fast runs go by."""
        return json.dumps([self._own(size), self.concurrency(size), self._resources[size]])

    # What time has ended stays ended, so that the same command again shows the result and trains nothing.

    def close(self, phase: str) -> None:
        """Note that a phase has come to its end under these limits."""
        if self.limits.of_time:
            self._spent.closed[phase] = self.settings
            self._save()

    @property
    def _closed(self) -> frozenset[str]:
        if not self.limits.of_time:
            return frozenset()
        return frozenset(phase for phase, settings in self._spent.closed.items() if settings == self.settings)

    @property
    def settings(self) -> str:
        """The fields of the study that bound what is run."""
        plain = self.file.study.to_dict()
        names = ("trials", "max_images", "max_hours", "max_gpu_hours", "confirmation", "ablation_seeds")
        arms = {"arms": plain["arms"]} if plain["arms"] else {}
        return json.dumps({name: plain[name] for name in names} | arms, sort_keys=True)

    # What is being spent.

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count the time within, and write it down; what is still under way at its end was interrupted."""
        self._since = self.store.clock()
        try:
            yield
        finally:
            self._spent.seconds, self._spent.gpu_seconds, self._since = self.seconds, self.gpu_seconds, None
            self.store.abandon()
            self._save()

    def ended(self, run: LiveRun, size: Size, status: Status) -> None:
        """Take that a run has ended: what it held, and how long it took for its images."""
        now, since, before = self.store.clock(), run.began, run.images_before
        self._spent.gpu_seconds += (now - since) * run.record.gpus
        if run.first_report is not None and run.number <= (self.concurrency(size) or 1):
            # Its process had to be started for it, so it counts from its first report on, if that is not its last.
            first, images = run.first_report
            since, before = (first, images) if images < run.total_images else (since, before)
        if not status.is_failure and run.images > before:
            seconds, seen = self._spent.ended.get(self._own(size), (0.0, 0))
            self._spent.ended[self._own(size)] = (seconds + now - since, seen + run.images - before)

    def tick(self) -> None:
        """Write down now and then what has been spent."""
        if self.store.clock() - self._saved > _SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        self._saved = self.store.clock()
        now = replace(self._spent, seconds=self.seconds, gpu_seconds=self.gpu_seconds)
        write_whole(self._path, json.dumps(asdict(now)))

    def _load(self) -> _Spent:
        try:
            return _Spent(**json.loads(self._path.read_text()))
        except FileNotFoundError:
            return _Spent()
        except (ValueError, TypeError):
            aside = set_aside(self._path)
        own = [record for record in self.store.records.values() if not record.adopted]
        spent = _Spent(
            seconds=_covered(filter(None, map(self._stretch, own))),
            gpu_seconds=sum(record.seconds * record.gpus for record in own),
        )
        print(
            f"{self._path}: cannot be read; it is now {aside.name}.  By its runs the study has taken "
            f"{spent.seconds / 3600:.2f} hours and {spent.gpu_seconds / 3600:.2f} GPU-hours so far, start-up and "
            f"interrupted stretches left out",
            flush=True,
        )
        return spent

    def _stretch(self, record: RunRecord) -> tuple[float, float] | None:
        """When a run that has ended was at work, or one that has not has said something."""
        span = self.store.folder(record.key).span()
        return (span[1] - record.seconds, span[1]) if span and record.seconds else span


def _covered(stretches: Iterable[tuple[float, float]]) -> float:
    """The length of what the stretches (begin, end) cover together."""
    seconds, reached = 0.0, -math.inf
    for begin, end in sorted(stretches):
        seconds += max(end - max(begin, reached), 0.0)
        reached = max(reached, end)
    return seconds
