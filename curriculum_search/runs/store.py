"""The runs of a command, on disk, at work and in MLflow: one owner of what each has seen and how it ended.

What is in the runs' folders is the truth: MLflow is a copy of it, and a run that has a result is never trained again.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from curriculum_search.atomic import remove_orphans
from curriculum_search.direction import Direction
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.runs.folder import RunFolder, run_folders
from curriculum_search.runs.job import Job, Outcome, Status
from curriculum_search.runs.record import LiveRun, RunRecord, gpus, read_record, recorded_runs
from curriculum_search.runs.result import Curve, RunResult
from curriculum_search.runs.tracked import TrackedDataset, tracked_dataset, tracked_params
from curriculum_search.runs.watch import STACKS
from curriculum_search.runs.workspace import make_cache
from curriculum_search.storage import bring, origin
from curriculum_search.tracking import Tracker
from curriculum_search.training import Report, StatusReport

SAMPLES = "samples"  #: what MLflow calls a run's generated images

#: A silence is worth a line when it is so many times the longest before it, and so many seconds at least: a little more
#: than the worker's own, which has left its stacks by then (`watch`).
_SILENT_FACTOR, _SILENT_SECONDS = 12.0, 150.0


_TAG_LENGTH = 5_000  # that MLflow takes


class RunStore:
    """Keeps the runs of a study or command: makes their folders, writes what they report, and knows which have ended.

    As a context manager, it says at its end that what is under way is so no more.

    Args:
        root: the folder of the study; the runs' are ``root/runs/<key>``.
        cache_dir: where reference statistics are kept.
        plugins: file name to source text of the user's own kinds.
        tracker: the copy in MLflow.
        objective: the metric whose best and last values stand for a run.
        direction: whether less or more of it is better.
        clock: gives seconds.

    Attributes:
        live: the runs under way, by key.
        begun: how many have been handed out since nothing was last at work.
    """

    def __init__(
        self,
        root: Path,
        *,
        cache_dir: Path,
        plugins: Mapping[str, str],
        tracker: Tracker,
        objective: str,
        direction: Direction,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root
        self.cache_dir = cache_dir
        self.plugins = plugins
        self.tracker = tracker
        self.objective = objective
        self.direction = direction
        self.clock = clock
        self.live: dict[str, LiveRun] = {}
        self.begun = 0
        self._curves: dict[str, Curve] = {}
        self._datasets: dict[str, TrackedDataset] = {}  # by what has the images
        self._results: dict[str, RunResult] = {}
        self._befallen: SimpleQueue[tuple[float, str]] = SimpleQueue()  # what all runs are to be told, and since when

    def __enter__(self) -> Self:
        make_cache(self.cache_dir)
        self._remove_orphans()
        if self.tracker.damage():
            for key in self.tracker.known_runs() & self.records.keys():
                self._track_again(key)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()
        self._remove_orphans()

    def _remove_orphans(self) -> None:
        """Remove what killed processes had written of the runs' files, those of runs among them that nothing trains
        again."""
        for folder in run_folders(self.root):
            remove_orphans(folder.path)

    def folder(self, key: str) -> RunFolder:
        """The folder of a run."""
        return RunFolder(self.root / "runs" / key)

    @cached_property
    def records(self) -> dict[str, RunRecord]:
        """Every run that has a folder, by key; read once, and kept up to date."""
        return {record.key: record for record in recorded_runs(self.root)}

    def result(self, key: str) -> RunResult | None:
        """How a run ended; None if it has not."""
        if key not in self._results and (result := self.folder(key).read_result()) is not None:
            self._results[key] = result
        return self._results.get(key)

    def curve(self, key: str) -> Curve:
        """What a run has reported, from its log the first time it is asked for."""
        if key not in self._curves:
            self._curves[key] = self.folder(key).read_curve()
        return self._curves[key]

    def forget_failure(self, key: str) -> None:
        """Have another go, from its checkpoint, at a run that has failed or was lost."""
        result = self.result(key)
        if result is not None and result.status.is_failure:
            self.folder(key).remove_result()
            del self._results[key]
            self.records[key].status = None

    def start(self, key: str, experiment: Experiment, *, name: str, tags: Mapping[str, str]) -> Job:
        """Open a run's folder (again) and give the job that trains it."""
        self.write_befallen()
        folder, records = self.folder(key), self.records
        folder.write_experiment(experiment, self.plugins)
        if key not in records:
            records[key] = read_record(folder, experiment.seed, gpus(experiment))
        record = records[key]
        self.begun += 1
        self.live[key] = LiveRun(
            record=record,
            name=name,
            total_images=experiment.training.total_images,
            number=self.begun,
            began=self.clock(),
            heard=self.clock(),
            images_before=record.images,
        )
        self.tracker.start_run(key, name=name, params=tracked_params(experiment), tags=tags)
        self.tracker.log_artifact(key, folder.experiment)
        self._track_dataset(key, experiment)
        self._track_curve(key)  # A kill may have come between the run's log and the tracker's.
        self._track_earlier_grids(key)
        bucket = origin(folder.path)
        return Job(
            key=key,
            experiment=experiment,
            run_dir=folder.path.resolve(),
            cache_dir=self.cache_dir,
            plugins=self.plugins,
            working_dir=Path.cwd(),
            bucket=bucket.address if bucket else "",
        )

    def reported(self, key: str, report: Report) -> bool:
        """Write a report to the run's log and to MLflow; False if it had been reported before."""
        self.write_befallen()
        self.live[key].hear(self.clock())
        if not self.curve(key).add(report):
            return False
        self.folder(key).write_report(report)
        run = self.live[key]
        run.record.images = report.images
        run.first_report = run.first_report or (self.clock(), report.images)
        self.tracker.log_metrics(key, report.images, report.metrics)
        self._track_earlier_grids(key)
        return True

    def progressed(self, key: str, status: StatusReport) -> None:
        """Write a status to the run's log and to MLflow, unless a run that was interrupted says it again."""
        self.write_befallen()
        curve = self.curve(key)
        self.live[key].hear(self.clock())
        self.live[key].status_images = status.images
        if status.images > curve.status_images:
            curve.status_images = status.images
            self.folder(key).write_status(status)
            values = {name: value for name, value in asdict(status).items() if name != "images" and value is not None}
            metrics = {f"status/{name}": float(value) for name, value in values.items()}
            self.tracker.log_metrics(key, status.images, metrics)

    def went_on(self, key: str) -> None:
        """Take that the evaluation of a run goes on."""
        self.live[key].hear(self.clock())

    def restarted(self, key: str, reason: str) -> str:
        """Take that a run has broken off and is started again; what was written down of it."""
        self.write_befallen()
        run, folder = self.live[key], self.folder(key)
        run.heard, run.called_silent = self.clock(), False
        words = folder.write_restart(reason)
        self.tracker.set_tags(key, {"restarts": str(folder.count_restarts()), "restarted_after": reason})
        self._track_remarks(key)
        return words

    def note(self, key: str, words: str) -> None:
        """Write down, in the run's log and in its tag "events", what has befallen it."""
        self.write_befallen()
        self.folder(key).write_remark(words)
        self._track_remarks(key)

    def befell(self, words: str) -> None:
        """Take what has befallen the cluster or the storage, in any thread, for every run that is under way now; see
        `write_befallen`."""
        self._befallen.put((time.time(), words))

    def write_befallen(self) -> None:
        """Write down, as `note` does, what has befallen all runs under way; anything else that is said of a run does so
        first."""
        found = []
        with suppress(Empty):
            while True:
                found.append(self._befallen.get_nowait())
        for key in self.live if found else ():
            for at, words in found:
                self.folder(key).write_remark(words, at)
            self._track_remarks(key)

    def silent(self) -> list[str]:
        """What to say of each run that has said nothing for far longer than it, or any other, ever did; once."""
        now, lines = self.clock(), []
        usual = max((run.longest for run in self.live.values()), default=0.0)
        for key, run in self.live.items():
            silence = now - run.heard
            if run.called_silent or silence < max(_SILENT_FACTOR * usual, _SILENT_SECONDS):
                continue
            run.called_silent = True
            words = f"{run.name} has said nothing for {silence / 60:.0f} min, after {run.images:,} images"
            stacks = self.folder(key).path / STACKS
            lines.append(f"{words}; {stacks} has where it stands" if stacks.exists() else words)
        return lines

    def ended(self, key: str, outcome: Outcome) -> RunResult:
        """Write how a run ended.

        Raises:
            UserError: it found a disk full.  It has not ended, and the same command goes on with it.
        """
        self.write_befallen()
        if outcome.disk_full:
            raise UserError(f"{self.live[key].name}: {outcome.disk_full}")
        folder, curve, run = self.folder(key), self.curve(key), self.live[key]
        status, reason = outcome.status, outcome.reason
        if outcome.trace:
            folder.write_error(outcome.trace)
            self.tracker.log_artifact(key, folder.error)
            reason = f"{reason} ({folder.error})"
        result = RunResult(
            status=status,
            metrics=curve.metrics[-1] if curve.metrics else {},
            images=curve.images_seen,
            seconds=self.clock() - run.began,
            exposure=curve.exposure,
            reason=reason,
        )
        bring(folder.grid)
        self._track_grid(key)
        self._track_end(key, result)
        folder.write_result(result)  # last: what is interrupted before has not ended, and ends again
        if not status.is_failure:
            folder.tidy()
        self._results[key] = result
        run.record.status, run.record.seconds = status, result.seconds
        del self.live[key]
        return result

    def abandon(self) -> None:
        """Say that nothing is under way any more; what was is gone on with by another command."""
        try:
            self.write_befallen()
            for key in self.live:
                self.tracker.end_run(key, status="KILLED")
        finally:
            self.live.clear()
            self.begun = 0

    def adopt(self, key: str, experiment: Experiment, runs: Path, *, name: str, tags: Mapping[str, str]) -> None:
        """Take over a run that has finished in another study, unless there is none or it is here already.

        Args:
            key: of the run.
            experiment: what was trained.
            runs: the other study's ``runs`` folder.
            name: of the run in MLflow.
            tags: of the run in MLflow.
        """
        folder, other = self.folder(key), RunFolder(runs / key)
        result = other.find_result()
        if result is None or result.status is not Status.FINISHED or folder.path.exists():
            return
        records = self.records
        folder.adopt(other)
        records[key] = read_record(folder, experiment.seed, gpus(experiment))
        self.tracker.start_run(key, name=name, params=tracked_params(experiment), tags=tags)
        self.tracker.log_artifact(key, folder.experiment)
        self._track_dataset(key, experiment)
        self._track_curve(key)
        self._track_grid(key)
        self._track_end(key, result)

    def _track_again(self, key: str) -> None:
        """Say to MLflow what the folder of a run has; it leaves out what it has been told."""
        folder = self.folder(key)
        for path in (folder.experiment, folder.error):
            if path.exists():
                self.tracker.log_artifact(key, path)
        self._track_grid(key)
        self._track_curve(key)
        if (result := self.result(key)) is not None:
            self._track_end(key, result)

    def _track_remarks(self, key: str) -> None:
        self.tracker.set_tags(key, {"events": "\n".join(self.folder(key).read_remarks())[-_TAG_LENGTH:]})

    def _track_dataset(self, key: str, experiment: Experiment) -> None:
        self.tracker.log_dataset(key, **self.dataset(experiment))

    def dataset(self, experiment: Experiment) -> TrackedDataset:
        """The training images of an experiment as MLflow is told of them; looked at once."""
        key = str(experiment.data if experiment.is_native else experiment.trainer)
        if key not in self._datasets:
            self._datasets[key] = tracked_dataset(experiment)
        return self._datasets[key]

    def _track_grid(self, key: str) -> None:
        """The samples of a run, as a file and as images at the steps that they are of."""
        self._track_earlier_grids(key)
        grid = self.folder(key).grid
        if grid.exists():
            self.tracker.log_artifact(key, grid)
            self.tracker.log_image(key, grid, SAMPLES, self.curve(key).images_seen)

    def _track_earlier_grids(self, key: str) -> None:
        for images, grid in self.folder(key).earlier_grids().items():
            self.tracker.log_image(key, grid, SAMPLES, images)

    def _track_curve(self, key: str) -> None:
        curve = self.curve(key)
        for images, metrics in zip(curve.images, curve.metrics, strict=True):
            self.tracker.log_metrics(key, images, metrics)

    def _track_end(self, key: str, result: RunResult) -> None:
        good = result.status in (Status.FINISHED, Status.STOPPED)
        tags = {"outcome": result.status.value} | ({"reason": result.reason} if result.reason else {})
        self.tracker.set_tags(key, tags)
        best = self._standing(self.curve(key), result.status)
        self.tracker.end_run(key, status="FINISHED" if good else "FAILED", best=best)

    def _standing(self, curve: Curve, status: Status) -> dict[str, float]:
        """What stands for a run in MLflow's table: its best value, and if it came to its end, the value there."""
        values = [value for _, value in curve.points(self.objective)]
        if not values:
            return {}
        best = {f"best_{self.objective}": self.direction.best(values, float)}
        return best | ({f"end_{self.objective}": values[-1]} if status is Status.FINISHED else {})
