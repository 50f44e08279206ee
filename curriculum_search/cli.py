"""What the commands in jobs/ share: where results go, and how a table is shown."""

import os
from pathlib import Path

from rich.console import Console, RenderableType

from curriculum_search.caches import cache_folder
from curriculum_search.entry import IS_RAY_JOB
from curriculum_search.loading import UserError
from curriculum_search.storage import is_address, working_copy_of

_LOG_WIDTH = 150


def results_root(given: str | None, *, setting: str = "--results") -> Path:
    """The folder that all results go under.

    What is `given` wins, which messages call `setting`, then CURRICULUM_SEARCH_RESULTS.  Else it is ``results`` in the
    current folder, or in a submitted job ``~/curriculum-search-results``, because a job's current folder is a copy that
    is new for every job.

    Where it is an address in a bucket, as in ``s3://bucket/path``, the folder is one of this machine that stands for
    it (`storage`).

    Raises:
        UserError: there can be no such folder, or the bucket cannot be used.
    """
    setting = setting if given else "CURRICULUM_SEARCH_RESULTS"
    default = "~/curriculum-search-results" if os.environ.get(IS_RAY_JOB) else "results"
    chosen = given or os.environ.get("CURRICULUM_SEARCH_RESULTS") or default
    return working_copy_of(chosen, cache_root(), setting=setting) if is_address(chosen) else _resolved(setting, chosen)


def cache_root() -> Path:
    """The folder for what can be computed again: CURRICULUM_SEARCH_CACHE, else ``~/.cache/curriculum-search``.

    Raises:
        UserError: there can be no such folder.
    """
    return _resolved("CURRICULUM_SEARCH_CACHE", cache_folder())


def _resolved(setting: str, folder: str) -> Path:
    """A folder's absolute path, links resolved; what is in its way is said before anything starts.

    Raises:
        UserError: it has no path, or something else than a folder lies on it.
    """
    try:
        path = Path(folder).expanduser().resolve()
    except (RuntimeError, OSError) as error:  # no home of that name, or links in a circle
        raise UserError(f"{setting}: {folder} is no folder's name ({error})") from error
    for part in (path, *path.parents):
        if os.path.lexists(part) and not part.is_dir():
            raise UserError(f"{setting}: {path} cannot be a folder: {part} is no folder")
    return path


def show(table: RenderableType) -> None:
    """Print a table or text, as wide as the terminal, or in a log as wide as it needs to be to keep names on a line."""
    console = Console()
    (console if console.is_terminal else Console(width=_LOG_WIDTH)).print(table)
