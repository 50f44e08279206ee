"""What the phases of a study share: a phase that is made has done nothing, and `resume` makes it ready."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from support.clock import Clock
from support.study import MakeSearch, MakeStore
from support.theatre import FINISHED, Theatre, confirmation_of
from support.workplace import Workplace, without_plugins

from curriculum_search.loading import UserError
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.job import Exhausted, Job, Outcome, Status
from curriculum_search.search.driver import open_searcher
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.phases.ablation import AblationPhase
from curriculum_search.search.phases.base import Phase
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.study import StudyFile
from curriculum_search.training import Report

FAILED = Outcome(status=Status.FAILED, reason="OSError: disk full", trace="line 1")


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with what it holds, but for the tracker's, whose thread may be at work."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "tracking" not in path.parts
    }


@pytest.fixture
def failed(workplace: Workplace, make_search: MakeSearch) -> SearchPhase:
    """The search of a study in each of whose phases the last run of all has failed; `store.root` is its folder."""
    file = workplace.load("study.trials=3", "study.ablation_seeds=2", "study.max_images=100000")
    search = make_search(file)
    Theatre(search, end=lambda job: FAILED if job.key == search.baselines[1].key else FINISHED).play()
    confirmation = confirmation_of(search)
    first = confirmation.run("published", confirmation.plan.first_seed).key
    Theatre(confirmation, end=lambda job: FAILED if job.key == first else FINISHED).play()
    ablation = AblationPhase(file, search.store, search.ledger, confirmation)
    ablation.resume()
    start = ablation.steps[0].run.key
    Theatre(ablation, end=lambda job: FAILED if job.key == start else FINISHED).play()
    return search


Opened = tuple[SearchPhase, ConfirmationPhase, AblationPhase]


def opened(search: SearchPhase, make_store: MakeStore) -> Opened:
    """The three phases as a command that has just been started makes them; none has been resumed."""
    file, store = search.file, make_store(search.file)
    ledger = Ledger(file, store)
    again = SearchPhase(file, store, ledger, open_searcher(store.root, file))
    confirmation = ConfirmationPhase(file, store, ledger, search.finished(), search.pareto())
    return again, confirmation, AblationPhase(file, store, ledger, confirmation)


def test_making_a_phase_writes_nothing_and_resuming_it_has_another_go_at_what_failed(
    failed: SearchPhase, make_store: MakeStore
) -> None:
    root = failed.store.root
    open_searcher(root, failed.file)  # whose journal notes that it was opened
    before = files(root)
    journal = before.pop("study.journal")
    search, confirmation, ablation = opened(failed, make_store)
    after = files(root)
    assert after.pop("study.journal").startswith(journal)
    assert after == before

    results = {name for name in before if name.endswith("result.json")}
    for phase in (search, confirmation, ablation):
        assert not phase.pending()
        phase.resume()
        taken_back = results - files(root).keys()
        assert len(taken_back) == 1, phase.name
        results -= taken_back
        assert phase.pending()
        jobs = Theatre(phase).play()
        assert [f"runs/{job.key}/result.json" for job in jobs] == [*taken_back]
        assert not phase.pending()


def test_a_phase_that_is_resumed_with_nothing_left_hands_out_nothing_and_changes_nothing(
    workplace: Workplace, make_search: MakeSearch, make_store: MakeStore
) -> None:
    search = make_search(workplace.load("study.trials=2", "study.ablation_seeds=2"))
    Theatre(search).play()
    confirmation = confirmation_of(search)
    Theatre(confirmation).play()
    ablation = AblationPhase(search.file, search.store, search.ledger, confirmation)
    ablation.resume()
    Theatre(ablation).play()
    before = files(search.store.root / "runs")
    for phase in opened(search, make_store):
        phase.resume()
        assert not phase.pending()
        assert phase.next() is Exhausted.DONE
    assert files(search.store.root / "runs") == before


Make = Callable[[StudyFile, Callable[[], float]], SearchPhase]


@pytest.fixture
def make(make_store: MakeStore) -> Make:
    def search(file: StudyFile, clock: Callable[[], float]) -> SearchPhase:
        store = make_store(file, clock)
        phase = SearchPhase(file, store, Ledger(file, store), open_searcher(store.root, file))
        phase.resume()
        return phase

    return search


def handed_out(phase: Phase) -> Job:
    job = phase.next()
    assert isinstance(job, Job)
    return job


def test_what_a_run_says_goes_to_its_store_and_its_end_to_ledger_and_progress(
    workplace: Workplace, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    search = make(workplace.load("study.max_hours=1"), clock)
    search.ledger.set_concurrency("small", 2)
    job = handed_out(search)
    with search.ledger.at_work():
        search.reported(job, Report(images=80, metrics={"val_loss": 2.0, "unlocked_share": 1.0}))
        clock.now = 30.0
        search.reported(job, Report(images=320, metrics={"val_loss": 1.0, "unlocked_share": 1.0}, final=True))
        search.ended(job, FINISHED)
    assert search.store.curve(job.key).points("val_loss") == [(80, 2.0), (320, 1.0)]
    assert search.ledger.run_seconds("small") == pytest.approx(30 / 240 * 320)  # its process was started for it
    assert search.progress.counts[Status.FINISHED] == 1
    said = without_plugins(capsys.readouterr().out)
    assert said == "search: no curriculum, seed 0 finished at 320 images, 30 s, val_loss 1 (best so far)\n"


def test_what_befalls_a_run_or_the_cluster_is_said_with_the_time_and_written_down(
    workplace: Workplace, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    search = make(workplace.load(), clock)
    first, second = handed_out(search), handed_out(search)
    capsys.readouterr()
    search.restarted(first, "its node died")
    search.restarted(first, "its process died")
    search.befell("a node has left the cluster")
    clock.now = 10_000.0
    search.tick(Capacity(trials=2, slots=2, workers=1, nodes=1, cpus=2.0, gpus=0.0))
    search.noticed("warning: a cache is built anew")
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"search: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)
    names = [search.store.live[job.key].name for job in (first, second)]
    broke = [
        "broke off for the 1st time and is started again: its node died",
        "broke off for the 2nd time and is started again: its process died",
    ]
    assert [line[28:] for line in lines] == [
        *(f"{names[0]} {words}" for words in broke),
        "a node has left the cluster",
        *(f"{name} has said nothing for 167 min, after 0 images" for name in names),
        "warning: a cache is built anew",
    ]
    written = [[line[20:] for line in search.store.folder(job.key).read_remarks()] for job in (first, second)]
    assert written == [[*broke, "a node has left the cluster"], ["a node has left the cluster"]]


def test_a_phase_is_given_up_when_as_many_runs_have_failed_as_run_at_once(workplace: Workplace, make: Make) -> None:
    search = make(workplace.load("study.trials=9"), Clock())
    search.progress.concurrency = 5
    for _ in range(4):
        search.ended(handed_out(search), FAILED)
    job = handed_out(search)
    with pytest.raises(UserError, match=r"the first 5 runs of the search all failed, .* the same command tries them"):
        search.ended(job, FAILED)


def test_where_something_has_worked_failures_end_no_phase(workplace: Workplace, make: Make) -> None:
    search = make(workplace.load("study.trials=9"), Clock())
    job = handed_out(search)
    search.reported(job, Report(images=320, metrics={"val_loss": 1.0, "unlocked_share": 1.0}, final=True))
    search.ended(job, FINISHED)
    for _ in range(6):
        search.ended(handed_out(search), FAILED)
    assert search.progress.counts[Status.FAILED] == 6
