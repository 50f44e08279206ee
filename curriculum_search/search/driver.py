"""A study from its file to its verdict: search, confirm, publish.  Run again, it goes on where it was."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curriculum_search.loading import UserError
from curriculum_search.search.cluster import Cluster
from curriculum_search.search.confirm import ConfirmationPhase
from curriculum_search.search.executor import run_jobs
from curriculum_search.search.phases import Phase, SearchPhase
from curriculum_search.search.publish import StudyResult, publish
from curriculum_search.search.runs import RunBook
from curriculum_search.search.sampling import Searcher
from curriculum_search.search.study import StudyFile
from curriculum_search.tracking import STUDY, Tracker, tracking_uri

EXPERIMENT_NAME = "curriculum-search"  #: of MLflow's experiment, which holds all studies
_FINGERPRINT = "study.json"
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
    folder = root / file.study.name
    check_same_study(folder, file)
    with only_driver(folder), Cluster(file.base.resources) as cluster:
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
            cluster.connect()  # The cluster may lack room, and nothing has been written so far.
        (folder / _FINGERPRINT).write_text(file.fingerprint())
        try:
            tracker.start_run(
                STUDY, name=file.study.name, params=file.tracked_params(), tags={"study": file.study.name}
            )
            tracker.log_artifact(STUDY, file.write_resolved(folder))
            run_phase(search, cluster)
            confirmation = ConfirmationPhase(file, book, search.finished())
            run_phase(confirmation, cluster)
            result = publish(file, book, search, confirmation)
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


def check_same_study(folder: Path, file: StudyFile) -> None:
    """Whether a study of this name, if there is one, is the same study.

    Raises:
        UserError: its earlier trials had another base, space or objective.
    """
    known = folder / _FINGERPRINT
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
            path=folder / "study.journal",
            name=file.study.name,
            identity=lambda params: file.trial_experiment(params).identity(),
            directions=(file.direction,),
            seed=file.study.seed,
        )
    except ValueError as error:
        raise UserError(f"{file.path}: {error}") from error


def run_phase(phase: Phase, cluster: Cluster) -> None:
    """Run a phase's jobs on the cluster, if it has any."""
    if not phase.pending():
        return
    capacity = cluster.connect()
    wanted = phase.file.study.max_concurrent_trials
    concurrency = min(capacity.trials, wanted) if wanted else capacity.trials
    phase.progress.begin(concurrency)
    run_jobs(
        phase,
        resources=phase.file.base.resources,
        concurrency=concurrency,
        scratch=phase.book.root / "tune",
    )


@contextmanager
def only_driver(folder: Path) -> Iterator[None]:
    """Keep a second driver out of a folder.

    Raises:
        UserError: one is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{folder}: another command is at work there; wait for it, or stop it") from error
        yield
