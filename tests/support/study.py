"""What tests of a study's parts are handed, and what they look at."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from curriculum_search.runs.job import Job
from curriculum_search.runs.store import RunStore
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.study import StudyFile


class MakeStore(Protocol):
    """Opens the runs of a study as a command that has just been started does."""

    def __call__(self, file: StudyFile, clock: Callable[[], float] | None = None) -> RunStore: ...


#: Makes the search phase of a study, ready to go on.
MakeSearch = Callable[[StudyFile], SearchPhase]


def optuna_trials(folder: Path) -> list[FrozenTrial]:
    """The trials of the study in a folder, as Optuna itself reads them."""
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    return optuna.load_study(study_name=folder.name, storage=storage).get_trials()


def order_of(job: Job) -> str:
    """The kind of order that a job trains in."""
    return str(job.experiment.curriculum.order.to_dict()["kind"])
