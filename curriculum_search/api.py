"""A study from Python: what ``jobs/search.py`` does with a file, for scripts and notebooks.

What the command says to a shell by its exit status, this raises or returns.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from curriculum_search.cli import cache_root, results_root
from curriculum_search.config import Kinded
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.search import driver
from curriculum_search.search.load import study_of
from curriculum_search.search.results.publish import StudyResult
from curriculum_search.search.space import Space
from curriculum_search.search.study import Study, StudyFile


def run_study(
    study: Study, base: Experiment, space: Space | None = None, *, results: str | Path | None = None
) -> StudyResult:
    """Run a study to its end, or go on with it; at its end already, it gives the result and trains nothing.

    Args:
        study: how the search is done; its name is that of the study's folder.
        base: the experiment that is searched over.  Paths in it start at the current folder.
        space: what is searched; None: nothing, for a study of named arms (``Study(trials=0, arms=...)``).
        results: the folder of all results; None: as for the commands, CURRICULUM_SEARCH_RESULTS or ``./results``.

    Raises:
        UserError: what has to be changed before anything can start; or, with the reason, that no run came to its end.
        KeyboardInterrupt: it was interrupted; called again, it goes on from there.
    """
    file = study_of(study, base, space or Space())
    _check_kinds(file)
    root = results_root(None if results is None else str(results), setting="results")
    return driver.run_study(file, root=root, cache_dir=cache_root())


def _check_kinds(file: StudyFile) -> None:
    """Whether the processes that train will know every kind.

    Raises:
        UserError: one is defined in a notebook or a script, which they do not run.
    """
    used = set(_words([file.raw_base, file.space.to_dict(), file.study.arms, file.study.proxy]))
    for family in Kinded.__subclasses__():
        for kind, member in family.kinds().items():
            if kind in used and not member.__module__.startswith("curriculum_search"):  # as plug-ins' do
                raise UserError(
                    f"{file.path}: kind {kind} ({member.__name__}) is defined in {member.__module__}, which the "
                    f"processes that train do not run; define it in a file, and name that in base.plugins"
                )


def _words(value: Any) -> Iterator[str]:
    """All texts in plain values."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ():
        yield from _words(item)
