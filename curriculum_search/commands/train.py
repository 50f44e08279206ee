"""One experiment on its own: what jobs/train.py runs."""

import json
from collections.abc import Mapping
from pathlib import Path

from curriculum_search.evaluation import Diverged
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.cluster import Cluster
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, RunError, Status
from curriculum_search.runs.progress import telling
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.signals import stop_signals
from curriculum_search.runs.store import RunStore
from curriculum_search.runs.workspace import Workspace, workspace
from curriculum_search.storage import address_of
from curriculum_search.tracking import Tracker, check_metric_name
from curriculum_search.trainers import train
from curriculum_search.training import Interrupted, PlainSession, Report, StatusReport, default_device

_FOLDER = "train"


def train_single(
    experiment: Experiment, plugins: Mapping[str, str], *, where: str, root: Path, cache_dir: Path
) -> RunResult:
    """Train one experiment, from its checkpoint if it has one; one that has ended is shown, and MLflow brought up to
    date.

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
        for name in experiment.metric_names(final=True):
            check_metric_name(name)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    key = experiment.identity()
    folder = root / _FOLDER
    # A workspace of its own, so that several runs can be trained at the same time.
    with (
        Cluster(dashboard=experiment.resources.in_group) as cluster,
        workspace(folder / "runs" / key, root=root, name=key) as space,
        _open_store(experiment, plugins, folder=folder, cache_dir=cache_dir, tracker=space.tracker) as store,
    ):
        space.listen(store.befell)
        if problem := store.folder(key).check_data(experiment):
            raise UserError(f"{where}: data: {problem}")
        if (sibling := _with_other_code(folder, experiment, key)) is not None:
            print(f"{experiment.summary()}: this is another run than {sibling}, whose code was another", flush=True)
        result = store.result(key)
        if result is None or result.status.is_failure:
            result = _run(experiment, key, store, space, cluster)
        else:
            _catch_up(space)
    print(f"{result.status.value} after {result.images:,} images: {result.reason}".rstrip(": "))
    for metric, value in result.metrics.items():
        print(f"  {metric} = {value!r}")
    print(f"Run:    {address_of(space.folder)}\nMLflow: {space.tracker.page()}", flush=True)
    return result


def _with_other_code(folder: Path, experiment: Experiment, key: str) -> Path | None:
    """A run that differs from a new one in nothing but the user's own training code, if there is one."""
    if experiment.is_native or RunFolder(folder / "runs" / key).experiment.exists():
        return None
    plain = experiment.to_dict() | {"plugins": []}
    for path in sorted((folder / "runs").glob("*/experiment.json")):
        if RunFolder(path.parent).read_experiment() | {"plugins": []} == json.loads(json.dumps(plain)):
            return path.parent
    return None


def _catch_up(space: Workspace) -> None:
    """Send MLflow what it lacks of a run that has ended, if it answers."""
    try:
        space.connect()
        space.tracker.catch_up()
    except UserError as error:
        print(f"MLflow: {error}", flush=True)


def _run(experiment: Experiment, key: str, store: RunStore, space: Workspace, cluster: Cluster) -> RunResult:
    """Train, or go on; whatever ends it, the run's folder and MLflow know."""
    resources = experiment.resources
    space.connect()
    if resources.in_group:
        cluster.capacity(resources)
    store.forget_failure(key)
    store.folder(key).write_data(experiment)
    source = _OneRun(store, experiment, key)
    space.begin(name=f"train: {source.name}")
    print(f"data: {experiment.summary()}", flush=True)
    try:
        with telling("data", experiment.preparing()):
            if resources.in_group:
                run_jobs(source, resources=resources, limit=1, scratch=space.folder / "tune", groups=cluster.groups)
            else:
                _train_here(source)
    finally:
        result = store.result(key)
        if result is not None:  # It has ended, whatever interrupts the command now.
            space.finish("FAILED" if result.status.is_failure else "FINISHED")
    assert result is not None
    return result


def _open_store(
    experiment: Experiment, plugins: Mapping[str, str], *, folder: Path, cache_dir: Path, tracker: Tracker
) -> RunStore:
    metric = experiment.metric_names(final=False)[0]
    return RunStore(
        folder,
        cache_dir=cache_dir,
        plugins=plugins,
        tracker=tracker,
        objective=metric,
        direction=experiment.direction(metric),
    )


class _OneRun(JobSource):
    """A source of one job."""

    def __init__(self, store: RunStore, experiment: Experiment, key: str) -> None:
        self.store, self.experiment, self.key = store, experiment, key
        self.name = f"{experiment.describe()}, seed {experiment.seed}"
        self._given = False

    def next(self) -> Job | Exhausted:
        if self._given:
            return Exhausted.DONE
        self._given = True
        return self.start()

    def start(self) -> Job:
        """The job."""
        tags = {"role": "single", "curriculum": self.experiment.describe()}
        return self.store.start(self.key, self.experiment, name=self.name, tags=tags)

    def reported(self, job: Job, report: Report) -> bool:
        if self.store.reported(job.key, report):
            address_of = {self.store.objective, "val_loss", "train_loss", "unlocked_share", "images_per_second"}
            words = ", ".join(f"{name} {value:.4g}" for name, value in report.metrics.items() if name in address_of)
            print(f"{report.images:,} images: {words}", flush=True)
        return False

    def progressed(self, job: Job, status: StatusReport) -> None:
        self.store.progressed(job.key, status)

    def ended(self, job: Job, outcome: Outcome) -> None:
        self.store.ended(job.key, outcome)

    def restarted(self, job: Job, reason: str) -> None:
        self.noticed(f"{job.key} {self.store.restarted(job.key, reason)}")

    def remarked(self, job: Job, words: str) -> None:
        self.store.note(job.key, words)
        super().remarked(job, words)

    def befell(self, words: str) -> None:
        self.store.befell(words)
        super().befell(words)

    def tick(self, capacity: Capacity) -> None:
        self.store.write_befallen()


def _train_here(source: _OneRun) -> None:
    """Train in this process."""
    job = source.start()

    class StoreSession(PlainSession):
        asked = ""

        def stop(self, asked: str) -> None:
            self.asked, self.should_stop = asked, True

        def report(self, report: Report) -> None:
            source.reported(job, report)

        def status(self, status: StatusReport) -> None:
            source.progressed(job, status)

        def remark(self, words: str) -> None:
            source.remarked(job, words)

    session = StoreSession(run_dir=job.run_dir, device=default_device())
    try:
        with stop_signals(session.stop):
            train(job.experiment, session, job.cache_dir)
    except Interrupted as stop:
        source.remarked(job, f"the command was sent {session.asked}; it is saved at {stop.images:,} images")
        raise KeyboardInterrupt from stop
    except Diverged as error:
        outcome = Outcome(status=Status.DIVERGED, reason=str(error))
    except Exception as error:
        failure = RunError.of(error)
        outcome = Outcome(status=Status.FAILED, reason=failure.reason, trace=failure.trace)
    else:
        outcome = Outcome(status=Status.FINISHED)
    source.ended(job, outcome)
