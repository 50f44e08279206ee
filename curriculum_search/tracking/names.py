"""Names that MLflow takes, known without importing it, which takes seconds."""

import posixpath
import re

_ALLOWED = re.compile(r"[/\w.\- :]+")
_MAX_LENGTH = 240  # MLflow's is 250, and ``best_`` or ``end_`` may come before it


def check_metric_name(name: str) -> None:
    """Whether MLflow takes a metric of that name.

    Raises:
        ValueError: it does not, and would refuse every value.
    """
    if not _ALLOWED.fullmatch(name):
        raise ValueError(
            f"a metric cannot be named {name!r} in MLflow: allowed are letters, digits, spaces and _ - . : /"
        )
    if posixpath.normpath(name) != name or name.startswith(("/", "..")) or name == ".":
        raise ValueError(
            f"a metric cannot be named {name!r} in MLflow: as a path it would be {posixpath.normpath(name)!r}"
        )
    if len(name) > _MAX_LENGTH:
        raise ValueError(
            f"a metric's name has at most {_MAX_LENGTH} characters, not {len(name)} as in {name[:40]!r}..."
        )
