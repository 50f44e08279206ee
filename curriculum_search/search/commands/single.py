"""One experiment on its own: what jobs/train.py runs."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from curriculum_search.evaluation import Diverged
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.search.arms import describe
from curriculum_search.search.book.runs import RunBook, RunResult
from curriculum_search.search.driver import EXPERIMENT_NAME, only_driver
from curriculum_search.search.execution.cluster import Cluster
from curriculum_search.search.execution.executor import run_jobs
from curriculum_search.search.execution.jobs import Exhausted, Job, Outcome, RunError, Status
from curriculum_search.tracking import STUDY, Tracker, tracking_uri
from curriculum_search.training import PlainSession, Report, default_device, train

_FOLDER = "train"
_SEND_SECONDS = 60.0


def train_single(
    experiment: Experiment, plugins: Mapping[str, str], *, where: str, root: Path, cache_dir: Path
) -> RunResult:
    """Train one experiment, from its checkpoint if it has one; one that has ended is only shown.

    With one worker it is trained in this process, with several through Ray.

    Args:
        experiment: what is trained.
        plugins: file name to source text of the user's own kinds.
        where: the experiment's file, for messages.
        root: the folder of all results; the run's is ``root/train/runs/<identity>``.
        cache_dir: where reference statistics are kept.

    Raises:
        UserError: the data are missing, do not fit, or the cluster or MLflow does not answer.
    """
    try:
        experiment.check()
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    folder, key = root / _FOLDER, experiment.identity()
    run_dir = folder / "runs" / key
    name = f"{describe(experiment.curriculum)}, seed {experiment.seed}"
    # A tracker of its own, so that several runs can be trained at the same time.
    tracker = Tracker(run_dir / "tracking", uri=tracking_uri(root), study=key, experiment=EXPERIMENT_NAME)
    metric = experiment.evaluation.metric_names(final=False)[0]
    book = RunBook(
        folder,
        cache_dir=cache_dir,
        plugins=dict(plugins),
        tracker=tracker,
        objective=metric,
        direction=experiment.evaluation.direction(metric),
    )
    with only_driver(run_dir):
        result = book.result(key)
        if result is None or result.status is Status.FAILED:
            result = _run(experiment, name, book, tracker)
    print(f"{result.status.value} after {result.images:,} images: {result.reason}".rstrip(": "))
    for metric, value in result.metrics.items():
        print(f"  {metric} = {value!r}")
    print(f"Run:    {run_dir}\nMLflow: {tracker.page()}", flush=True)
    return result


def _run(experiment: Experiment, name: str, book: RunBook, tracker: Tracker) -> RunResult:
    """Train, or go on; whatever ends it, the run's folder and MLflow know."""
    key, resources = experiment.identity(), experiment.resources
    with Cluster(resources) as cluster:
        try:
            tracker.check()
        except ValueError as error:
            raise UserError(str(error)) from error
        if resources.workers > 1:
            cluster.connect()
        if book.result(key) is not None:
            book.forget(key)  # An error ended it.
        interrupted = False
        try:
            tracker.start_run(STUDY, name=f"train: {name}")
            source = _OneRun(book, experiment, name)
            if resources.workers > 1:
                run_jobs(source, resources=resources, concurrency=1, scratch=book.folder(key) / "tune")
            else:
                _train_here(source, experiment)
        except KeyboardInterrupt:
            interrupted = True
            raise
        finally:
            book.interrupted()
            result = book.result(key)
            good = result is not None and result.status is not Status.FAILED
            tracker.end_run(STUDY, status="FINISHED" if good else "KILLED" if interrupted else "FAILED")
            if unsent := tracker.close(_SEND_SECONDS):
                print(f"MLflow: {unsent}", flush=True)
    assert result is not None
    return result


class _OneRun:
    """A source of one job."""

    def __init__(self, book: RunBook, experiment: Experiment, name: str) -> None:
        self.book = book
        self.job = book.start(
            experiment,
            name=name,
            tags={"role": "single", "curriculum": describe(experiment.curriculum)},
        )
        self._given = False

    def next(self) -> Job | Exhausted:
        if self._given:
            return Exhausted.DONE
        self._given = True
        return self.job

    def reported(self, job: Job, report: dict[str, Any]) -> bool:
        if self.book.reported(job.key, report):
            values = ", ".join(f"{k} {v:.4g}" for k, v in report["metrics"].items() if k in self._shown(report))
            print(f"{report['images']:,} images: {values}", flush=True)
        return False

    def ended(self, job: Job, outcome: Outcome) -> None:
        self.book.ended(job.key, outcome)

    def tick(self) -> None:
        """A line per report is enough."""

    def _shown(self, report: Mapping[str, Any]) -> list[str]:
        wanted = [self.book.objective, "val_loss", "train_loss", "unlocked_share", "images_per_second"]
        return [name for name in wanted if name in report["metrics"]]


def _train_here(source: _OneRun, experiment: Experiment) -> None:
    job = source.job

    class BookSession(PlainSession):
        def report(self, report: Report) -> None:
            source.reported(job, json.loads(json.dumps(asdict(report))))

    try:
        train(experiment, BookSession(run_dir=job.run_dir, device=default_device()), job.cache_dir)
    except Diverged as error:
        outcome = Outcome(status=Status.DIVERGED, reason=str(error))
    except Exception as error:
        failure = RunError.of(error)
        outcome = Outcome(status=Status.FAILED, reason=failure.reason, trace=failure.trace)
    else:
        outcome = Outcome(status=Status.FINISHED)
    source.ended(job, outcome)
