"""A study from its file to its verdict: search, confirm, publish.  Run again, it goes on where it was."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curriculum_search.atomic import replacing
from curriculum_search.loading import UserError
from curriculum_search.search.ablation import AblationPhase
from curriculum_search.search.book.budget import Budget
from curriculum_search.search.book.runs import RunBook
from curriculum_search.search.book.scale import SIZES, Scale, Size, check_limits
from curriculum_search.search.confirm import ConfirmationPhase
from curriculum_search.search.execution.cluster import Cluster
from curriculum_search.search.execution.executor import Capacity, check_capacity, run_jobs
from curriculum_search.search.execution.jobs import Status
from curriculum_search.search.execution.measure import measure
from curriculum_search.search.outcome.publish import StudyResult, publish
from curriculum_search.search.phases import Phase, SearchPhase
from curriculum_search.search.sampling.searcher import Searcher
from curriculum_search.search.study import FINGERPRINT, JOURNAL, StudyFile
from curriculum_search.search.warm import check_warm_start, warm_start
from curriculum_search.tracking import STUDY, Tracker, tracking_uri

EXPERIMENT_NAME = "curriculum-search"  #: of MLflow's experiment, which holds all studies
_SEND_SECONDS = 60.0


def run_study(file: StudyFile, *, root: Path, cache_dir: Path) -> StudyResult:
    """Run a study to its end, or go on with it.

    Args:
        file: the study file.
        root: the folder of all results; the study's is ``root/<name>``.
        cache_dir: where reference statistics are kept between studies.

    Raises:
        UserError: what has to be changed before anything can start.
    """
    check_limits(file)
    check_warm_start(file)
    folder = root / file.study.name
    with only_driver(folder), Cluster(file.base.resources) as cluster:
        check_same_study(folder, file)
        tracker = Tracker(
            folder / "tracking", uri=tracking_uri(root), study=file.study.name, experiment=EXPERIMENT_NAME
        )
        try:
            tracker.check()
        except ValueError as error:
            raise UserError(str(error)) from error
        book = RunBook(
            folder,
            cache_dir=cache_dir,
            plugins=file.plugins,
            tracker=tracker,
            objective=file.study.objective,
            direction=file.direction,
        )
        search = SearchPhase(file, book, open_searcher(folder, file))
        if search.pending():
            prepare(search.budget, cluster, root=root, cache_dir=cache_dir)  # No run has been written so far.
        _write_fingerprint(folder, file)
        for line in warm_start(file, search.searcher, book):
            print(line, flush=True)
        try:
            tracker.start_run(
                STUDY, name=file.study.name, params=file.tracked_params(), tags={"study": file.study.name}
            )
            tracker.log_artifact(STUDY, file.write_resolved(folder))
            run_phase(search, cluster)
            confirmation = ConfirmationPhase(file, book, search.finished(), search.pareto())
            run_phase(confirmation, cluster)
            budget = confirmation.budget
            ablation = AblationPhase(file, book, confirmation, budget.runs_left(budget.interrupted, ablation=True))
            run_phase(ablation, cluster)
            result = publish(file, book, search, confirmation, ablation)
            tracker.end_run(STUDY, status="FINISHED", best=result.tracked_metrics(file.study.objective))
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            book.interrupted()
            tracker.end_run(STUDY, status="KILLED" if interrupted else "FAILED")
            raise
        finally:
            if unsent := tracker.close(_SEND_SECONDS):
                print(f"MLflow: {unsent}", flush=True)
    return result


def _write_fingerprint(folder: Path, file: StudyFile) -> None:
    with replacing(folder / FINGERPRINT) as partial:
        partial.write_text(file.fingerprint())


def check_same_study(folder: Path, file: StudyFile) -> None:
    """Whether a study of this name, if there is one, is the same study.

    Raises:
        UserError: its earlier trials had another base, space or objective.
    """
    known = folder / FINGERPRINT
    if known.exists() and (changed := file.differences(known.read_text())):
        raise UserError(
            f"{file.path}: study.name: {file.study.name!r} has runs in {folder} with another {', '.join(changed)}; "
            f"give the changed study another name, or change it back"
        )


def open_searcher(folder: Path, file: StudyFile) -> Searcher:
    try:
        return Searcher(
            file.space,
            file.study.algorithm,
            path=folder / JOURNAL,
            name=file.study.name,
            identity=lambda params: file.trial_experiment(params).identity(),
            directions=file.directions,
            seed=file.study.seed,
        )
    except json.JSONDecodeError as error:
        raise UserError(
            f"{folder / JOURNAL}: a line cannot be read ({error}); remove that line, or give the study another name"
        ) from error
    except ValueError as error:
        raise UserError(f"{file.path}: {error}") from error


def room(cluster: Cluster, file: StudyFile, size: Size) -> tuple[Capacity, int]:
    """What the cluster has room for, and how many runs of a size the study has at once there.

    Raises:
        UserError: there is no room for one.
    """
    cluster.connect()
    capacity = check_capacity(Scale.of(file).experiment(size).resources)
    wanted = file.study.max_concurrent_trials
    return capacity, min(capacity.trials, wanted) if wanted else capacity.trials


def prepare(budget: Budget, cluster: Cluster, *, root: Path, cache_dir: Path) -> None:
    """Find out what there is room for; where time is limited and no run of a size has ended, how long one lasts.

    Raises:
        UserError: there is no room for a run, or not the time for the least that the study needs.
    """
    for size in SIZES:
        budget.place(size, room(cluster, budget.file, size)[1])
    if budget.limited_in_time and any(budget.run_seconds(size) is None for size in SIZES):
        print(f"{budget.file.study.name}: a few training steps, to see how long a run lasts", flush=True)
        for size in SIZES if budget.file.study.proxy else SIZES[:1]:
            with budget.at_work():
                concurrency = budget.rooms(size) or 1
                steps = measure(budget.file, size, concurrency=concurrency, root=root, cache_dir=cache_dir)
            run_seconds = steps.run_seconds(budget.scale.experiment(size).training)
            budget.expect(size, run_seconds, start_up=steps.first_start - steps.start)
    budget.check_time()


def run_phase(phase: Phase, cluster: Cluster) -> None:
    """Run a phase's jobs on the cluster, if it has any."""
    budget = phase.budget
    if phase.pending():
        with budget.at_work():
            concurrency = room(cluster, phase.file, phase.size)[1]
            budget.place(phase.size, concurrency)
            phase.count()
            phase.progress.begin(concurrency)
            run_jobs(
                phase,
                resources=budget.scale.experiment(phase.size).resources,
                concurrency=concurrency,
                scratch=phase.book.root / "tune",
            )
    if not phase.progress.counts[Status.FAILED]:  # A failed run is tried again by the next command.
        budget.close(phase.name)


@contextmanager
def only_driver(folder: Path) -> Iterator[None]:
    """Keep a second driver out of a folder.

    Raises:
        UserError: one is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{folder}: another command is at work there; wait for it, or stop it") from error
        yield
