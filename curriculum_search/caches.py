"""Where what can be computed again is kept."""

import os
from pathlib import Path


def cache_folder() -> str:
    """What CURRICULUM_SEARCH_CACHE names, else ``~/.cache/curriculum-search``."""
    return os.environ.get("CURRICULUM_SEARCH_CACHE") or "~/.cache/curriculum-search"


def kept_in(folder: str | Path | None, part: str) -> Path:
    """A folder that the user may have named; None: the part of the cache that is for such files."""
    return Path(Path(cache_folder()) / part if folder is None else folder).expanduser()
