"""The parts of a study as a command that has just been started finds them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.study import MakeSearch, MakeStore
from support.workplace import Workplace

from curriculum_search.runs.store import RunStore
from curriculum_search.search.driver import open_searcher, open_store
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.study import StudyFile
from curriculum_search.tracking import Tracker


@pytest.fixture
def make_store(workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> Iterator[MakeStore]:
    trackers: list[Tracker] = []

    def make(file: StudyFile, clock: Callable[[], float] | None = None) -> RunStore:
        folder: Path = workplace.results / file.study.name
        folder.mkdir(parents=True, exist_ok=True)
        trackers.append(
            Tracker(
                folder / "tracking",
                uri=workplace.store,
                study=file.study.name,
                experiment=f"phases {len(trackers)}",
            )
        )
        store = open_store(file, folder, tracker=trackers[-1], cache_dir=workplace.cache)
        store.clock = clock or store.clock
        return store

    yield make
    for tracker in trackers:
        tracker.close(0)


@pytest.fixture
def make_search(make_store: MakeStore) -> MakeSearch:
    """The search phase, ready to go on."""

    def make(file: StudyFile) -> SearchPhase:
        store = make_store(file)
        search = SearchPhase(file, store, Ledger(file, store), open_searcher(store.root, file))
        search.resume()
        return search

    return make
