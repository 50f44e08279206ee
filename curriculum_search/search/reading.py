"""A study read from its folder by whoever does not work on it: finished, under way, interrupted or failed.

What is known of the study is copied first, a few kilobytes a run, and the study's own code reads the copy.  So the
folder needs no lock and is left as it is, and a line that its driver is just writing does no harm.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curriculum_search.experiment import Experiment
from curriculum_search.loading import PluginRunner, UserError, validated
from curriculum_search.runs.folder import RunFolder, run_folders
from curriculum_search.runs.store import RunStore
from curriculum_search.search.driver import open_searcher, trained_baselines
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.load import read_study
from curriculum_search.search.phases.ablation import AblationPhase
from curriculum_search.search.phases.base import Phase
from curriculum_search.search.phases.confirmation import RECORD, ConfirmationPhase
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.results.figures import FIGURES, write_figures
from curriculum_search.search.results.page import PAGE, write_page
from curriculum_search.search.results.publish import find
from curriculum_search.search.study import JOURNAL, RESOLVED
from curriculum_search.tracking import Tracker

_SUFFIXES = (".yaml", ".json", ".journal", ".py")  # of a study's own files, plug-ins among them


@dataclass(frozen=True)
class Reading:
    """A study as its folder had it.

    Attributes:
        search, confirmation, ablation: its phases, which hand nothing out.
        last_sign: when something was last written to the folder, in seconds since 1970.
    """

    search: SearchPhase
    confirmation: ConfirmationPhase
    ablation: AblationPhase
    last_sign: float

    @property
    def unfinished(self) -> Phase | None:
        """The first phase that has something left to be run."""
        return next((phase for phase in (self.search, self.confirmation, self.ablation) if phase.pending()), None)

    def state(self) -> str:
        """How far the study is, in words; empty where it is finished."""
        phase = self.unfinished
        if phase is None:
            return ""
        minutes = max(time.time() - self.last_sign, 0.0) / 60
        ago = "less than two minutes" if minutes < 2 else f"{minutes:,.0f} minutes" if minutes < 120 else ""
        ago = ago or f"{minutes / 60:,.0f} hours"
        words = f"Not finished: the {phase.name} is under way, or was interrupted."
        if phase is self.search:
            tried = len(self.search.searcher.handed_out())
            words += f" {tried} of {self.search.file.study.trials} trials have begun."
        return f"{words} The last sign of life was {ago} before this page was made; what follows is how it stands."


@contextmanager
def read_folder(folder: Path, runner: PluginRunner | None = None) -> Iterator[Reading]:
    """Read the study in a folder.

    Args:
        folder: of the study, as in results/quickstart.
        runner: runs the plug-ins of the study; None: one that runs whatever is named.

    Raises:
        UserError: it is no study's folder, or what is there cannot be read.
    """
    if missing := [name for name in (RESOLVED, JOURNAL) if not (folder / name).is_file()]:
        raise UserError(f"{folder}: is no study's folder, it has no {missing[0]}")
    with tempfile.TemporaryDirectory(prefix="curriculum-search-") as scratch:
        copy = Path(scratch) / "study"
        last_sign = _copy(folder, copy)
        try:
            phases = _phases(copy, runner)
        except UserError as error:
            raise UserError(str(error).replace(str(copy), str(folder))) from error
        except FileNotFoundError as error:
            raise UserError(
                f"{folder}: {error.filename} is missing, by which the study's noise levels were measured; bring it "
                f"back, or start where the study was started"
            ) from error
        yield Reading(*phases, last_sign=last_sign)


def _phases(copy: Path, runner: PluginRunner | None) -> tuple[SearchPhase, ConfirmationPhase, AblationPhase]:
    file = read_study(copy / RESOLVED, {}, runner)
    _rename_runs(copy)
    file = replace(file, study=replace(file.study, baselines=trained_baselines(copy, file)))
    store = _Store(
        copy,
        cache_dir=copy,
        plugins=file.plugins,
        tracker=_Silent(copy, uri="", study=file.study.name, experiment=""),
        objective=file.study.objective,
        direction=file.direction,
    )
    search = SearchPhase(file, store, Ledger(file, store), open_searcher(copy, file))
    search.resume()
    confirmation = ConfirmationPhase(file, store, search.ledger, search.finished(), search.pareto())
    confirmation.resume()
    ablation = AblationPhase(file, store, search.ledger, confirmation)
    ablation.resume()
    return search, confirmation, ablation


def report_folder(
    folder: Path, path: Path | None = None, runner: PluginRunner | None = None, *, figures: bool = False
) -> Path:
    """Write the page of the study in a folder.

    Args:
        folder: of the study.
        path: of the page; None: report.html in the folder.
        runner: runs the plug-ins of the study; None: one that runs whatever is named.
        figures: also draw the figures for papers, in a folder beside the page.

    Returns:
        The page's path.

    Raises:
        UserError: it is no study's folder, what is there cannot be read, or the page cannot be written.
    """
    path = path or folder / PAGE
    with read_folder(folder, runner) as study:
        phases = (study.search, study.confirmation, study.ablation)
        try:
            if figures:
                write_figures(path.parent / FIGURES, study.search, study.confirmation, vectors=True)
            return write_page(path, folder, find(*phases), *phases, state=study.state())
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); choose another with --output") from error


def _copy(folder: Path, copy: Path) -> float:
    """Copy what tells of a study; when any of it was last written to."""
    runs = run_folders(folder)
    copy.mkdir()
    for path in folder.iterdir():
        if path.suffix in _SUFFIXES:
            with suppress(FileNotFoundError, IsADirectoryError):
                shutil.copyfile(path, copy / path.name)
    for run in runs:
        run.copy_for_reading(copy / "runs" / run.path.name)
    for name in next((names for run in runs if (names := run.read_experiment().get("plugins"))), ()):
        for home in runs:  # The study's own folder has its plug-ins only at the end.
            if (home.path / name).is_file() and not (copy / name).exists():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(home.path / name, copy / name)
    signs = [folder / JOURNAL, *(run.log for run in runs)]
    return max((sign.stat().st_mtime for sign in signs if sign.exists()), default=0.0)


def _rename_runs(copy: Path) -> None:
    """Give each run the name that this version of the project has for what it trained: an earlier one may have had
    another."""
    record = copy / RECORD
    confirmed = record.read_text() if record.exists() else ""
    for path in sorted((copy / "runs").iterdir()) if (copy / "runs").exists() else ():
        with suppress(ValueError):  # A config that is damaged, or that no longer can be: nobody asks for its run.
            key = validated(Experiment, RunFolder(path).read_experiment(), str(path)).identity()
            if key != path.name and not path.with_name(key).exists():
                path.rename(path.with_name(key))
                confirmed = confirmed.replace(path.name, key)
    if confirmed:
        record.write_text(confirmed)


class _Store(RunStore):
    """The runs of a copy, in which what has failed has failed."""

    def forget_failure(self, key: str) -> None:
        pass


class _Silent(Tracker):
    """Tells MLflow nothing."""

    def set_tags(self, run: str, tags: Any) -> None:
        pass
