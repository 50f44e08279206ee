"""A study from its file to its verdict: search, confirm, publish.  Run again, it goes on where it was."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from curriculum_search.atomic import write_whole
from curriculum_search.loading import UserError
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.cluster import Cluster
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.folder import run_folders
from curriculum_search.runs.store import RunStore
from curriculum_search.runs.workspace import workspace
from curriculum_search.search.arms import STRETCHED, BaselineName, baseline
from curriculum_search.search.budget import check_limits
from curriculum_search.search.design import SIZES, Design, Size
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.measure import measure
from curriculum_search.search.optuna.journal import DamagedJournalError
from curriculum_search.search.optuna.searcher import Searcher
from curriculum_search.search.phases.ablation import AblationPhase
from curriculum_search.search.phases.base import Phase
from curriculum_search.search.phases.chain import Chain
from curriculum_search.search.phases.confirmation import ConfirmationPhase, check_record
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.rehearsal import rehearse
from curriculum_search.search.results.publish import StudyResult, publish
from curriculum_search.search.results.tracked import show_study
from curriculum_search.search.study import FINGERPRINT, JOURNAL, MEASURE, RESOLVED, StudyFile
from curriculum_search.search.warm_start import check_warm_start, project, warm_start
from curriculum_search.tracking import STUDY, Tracker


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
    with (
        Cluster(dashboard=file.base.resources.in_group) as cluster,
        workspace(folder, root=root, name=file.study.name) as space,
        open_store(file, folder, tracker=space.tracker, cache_dir=cache_dir) as store,
    ):
        space.listen(store.befell)
        check_same_study(folder, file)
        space.connect()
        ledger = Ledger(file, store)
        phases = _Phases(file, store, ledger, open_searcher(folder, file))
        search = phases.search
        search.resume()
        if search.pending() or not (file.study.searches or store.records):
            prepare(ledger, cluster, root=root, cache_dir=cache_dir)  # No run has been written so far.
            if not (file.base.is_native or (folder / FINGERPRINT).exists()):
                rehearse(file, root=root, cache_dir=cache_dir, groups=cluster.groups)
        write_fingerprint(folder, file)
        for line in warm_start(file, search.searcher, store):
            print(line, flush=True)
        space.begin(name=file.study.name, params=file.tracked_params(), tags={"study": file.study.name})
        space.tracker.log_artifact(STUDY, file.write_resolved(folder))
        space.tracker.log_dataset(STUDY, **store.dataset(file.base))
        show_study(file, store)
        run_phases(iter(phases), cluster, scratch=store.root / "tune")
        result = publish(file, store, search, phases.confirmation, phases.ablation)
        space.finish(best=result.tracked_metrics(file.study.objective))
    return result


def check_same_study(folder: Path, file: StudyFile) -> None:
    """Whether a study of this name, if there is one, is the same study.

    What was written down of it may be damaged.  The resolved study beside it says the same; where that cannot be read
    either, nothing but the user knows what the study was.

    Raises:
        UserError: its earlier trials had another base, space or objective, or other images, or were measured
            otherwise, or what is known of it cannot be read.
    """
    check_record(folder)
    known, resolved = folder / FINGERPRINT, folder / RESOLVED
    try:
        changed = file.differences(known.read_text())
    except FileNotFoundError:
        return
    except (ValueError, AttributeError, TypeError):
        try:
            changed = file.differences(file.fingerprint_of(resolved))
        except (UserError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{known}: cannot be read, and neither can {resolved.name}.  They tell whether the study is as it was: "
                f"put one of them back from a copy; or, if {file.path} is as it was, remove {known.name}"
            ) from error
        print(f"{known}: cannot be read; {resolved.name} tells what the study was, and it is written anew", flush=True)
    if changed == ["data"] and not file.base.is_native:
        raise UserError(
            f"{file.path}: base.trainer: the code is not that of the runs in {folder}, and changed code makes other "
            f"runs ({file.base.summary()}); give the study another name, or change the code back"
        )
    if changed == ["data"]:
        raise UserError(
            f"{file.path}: base.data: the images are not those that the runs in {folder} were trained on; there are "
            f"now {file.base.summary()}; bring them back, or give the study another name"
        )
    if changed == [MEASURE]:
        raise UserError(
            f"{file.path}: study.name: the runs in {folder} were measured by another version of this project, whose "
            f"values of the same metrics are others; they stay as they are, to be read; give the study another name"
        )
    if changed:
        raise UserError(
            f"{file.path}: study.name: {file.study.name!r} has runs in {folder} with another {', '.join(changed)}; "
            f"give the changed study another name, or change it back"
        )
    _check_baselines(folder, file)


def _check_baselines(folder: Path, file: StudyFile) -> None:
    """Whether the published setting and its kin are those that the study has trained.

    Once they were stretched over half of the run under the names that they have now at the paper's share of it.

    Raises:
        UserError: the study is of that time, and how to read it, or to have the new ones.
    """
    trained = trained_baselines(folder, file)
    if trained != file.study.baselines:
        changed = [name for name in file.study.baselines if name not in trained]
        raise UserError(
            f"{file.path}: study.baselines: the runs of {', '.join(changed)} in {folder} last half of the run, as they "
            f"once did; now they last as long as in the paper, 2 % of it.  For the study as it is, "
            f"study.baselines=[{','.join(trained)}]; for the paper's share, give the study another name"
        )


def trained_baselines(folder: Path, file: StudyFile) -> tuple[BaselineName, ...]:
    """The baselines of a study under the names that they have now."""

    def has_trained(name: BaselineName) -> bool:
        key = file.run(baseline(name, file.small), file.study.seed, small=True).key
        return (folder / "runs" / key).exists()

    names = file.study.baselines
    kin = {name: STRETCHED[name] for name in names if name in STRETCHED and STRETCHED[name] not in names}
    if any(has_trained(stretched) and not has_trained(name) for name, stretched in kin.items()):
        return tuple(kin.get(name, name) for name in names)
    return names


def write_fingerprint(folder: Path, file: StudyFile) -> None:
    """Write down what must stay as it is when the study goes on."""
    write_whole(folder / FINGERPRINT, file.fingerprint())


def open_store(file: StudyFile, folder: Path, *, tracker: Tracker, cache_dir: Path) -> RunStore:
    """The runs of a study."""
    return RunStore(
        folder,
        cache_dir=cache_dir,
        plugins=file.plugins,
        tracker=tracker,
        objective=file.study.objective,
        direction=file.direction,
    )


def open_searcher(folder: Path, file: StudyFile) -> Searcher:
    """The configurations of a study.

    Raises:
        UserError: its journal cannot be read, or does not belong to the file.
    """
    try:
        return Searcher(
            file.space,
            file.study.algorithm,
            path=folder / JOURNAL,
            name=file.study.name,
            identity=lambda params: file.trial(params).key,
            directions=file.directions,
            seed=file.study.seed,
            begun=lambda: _begun(folder, file),
        )
    except DamagedJournalError as error:
        raise UserError(
            f"{error}; put it back from a copy, or move it away: the trials are then proposed anew, and a run that is "
            f"there already is not trained again"
        ) from error
    except ValueError as error:
        raise UserError(f"{file.path}: {error}") from error


def _begun(folder: Path, file: StudyFile) -> Iterator[dict[str, Any]]:
    """The configurations of the search whose runs have folders, as their configs say; no baseline and no named arm."""
    others = {file.run(arm, file.study.seed, small=True).key for arm in (*file.baselines(small=True), *file.arms)}
    for run in run_folders(folder):
        key = run.path.name
        params, _ = project(file.space, run.read_experiment())
        with suppress(ValueError):  # not one of this space
            if key not in others and file.trial(params).key == key:
                yield params


def find_capacity(cluster: Cluster, file: StudyFile, size: Size) -> tuple[Capacity, int]:
    """What the cluster has room for, and how many runs of a size the study has at once there.

    Raises:
        UserError: there is no room for one.
    """
    capacity = cluster.capacity(Design.of(file).experiment(size).resources)
    wanted = file.study.max_concurrent_trials
    return capacity, min(capacity.trials, wanted) if wanted else capacity.trials


def prepare(ledger: Ledger, cluster: Cluster, *, root: Path, cache_dir: Path) -> None:
    """Find out what there is room for; where time is limited and no run of a size has ended, how long one lasts.

    Raises:
        UserError: there is no room for a run, or not the time for the least that the study needs.
    """
    file = ledger.file
    for size in SIZES:
        ledger.set_concurrency(size, find_capacity(cluster, file, size)[1])
    if not ledger.limits.of_time:
        return
    if any(ledger.run_seconds(size) is None for size in SIZES):
        print(f"{file.study.name}: a few training steps, to see how long a run lasts", flush=True)
        for size in SIZES if file.study.proxy else SIZES[:1]:
            with ledger.at_work():
                concurrency = ledger.concurrency(size) or 1
                steps = measure(
                    file, size, concurrency=concurrency, root=root, cache_dir=cache_dir, groups=cluster.groups
                )
            run_seconds = steps.run_seconds(ledger.design.experiment(size).training)
            ledger.expect(size, run_seconds, start_up=steps.first_start - steps.start)
    ledger.budget.check_time(str(file.path))


class _Phases:
    """The phases of a study: each is made of what the ones before have found, when it is reached.

    Attributes:
        search: the first.
        confirmation: there once it has been reached.
        ablation: likewise.
    """

    confirmation: ConfirmationPhase
    ablation: AblationPhase

    def __init__(self, file: StudyFile, store: RunStore, ledger: Ledger, searcher: Searcher) -> None:
        self.search = SearchPhase(file, store, ledger, searcher)

    def __iter__(self) -> Iterator[Phase]:
        search = self.search
        file, store, ledger = search.file, search.store, search.ledger
        yield search
        self.confirmation = ConfirmationPhase(file, store, ledger, search.finished(), search.pareto())
        self.confirmation.resume()
        yield self.confirmation
        self.ablation = AblationPhase(file, store, ledger, self.confirmation)
        self.ablation.resume()
        yield self.ablation


def run_phases(phases: Iterator[Phase], cluster: Cluster, *, scratch: Path) -> None:
    """Run the phases' jobs on the cluster.

    Args:
        phases: each made when the one before has ended; those whose runs need the same resources share processes.
        scratch: a folder for Tune's own files.
    """
    with Chain(phases, lambda phase: find_capacity(cluster, phase.file, phase.size)[1]) as chain:
        while chain.phase is not None and chain.resources is not None:
            limit = chain.phase.file.study.max_concurrent_trials
            run_jobs(chain, resources=chain.resources, limit=limit, scratch=scratch, groups=cluster.groups)
