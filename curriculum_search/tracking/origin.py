"""Where a run comes from, as MLflow's columns User, Source and Version have it."""

import getpass
import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path


@cache
def origin() -> dict[str, str]:
    """Tags of every run of this process: its user, the script that makes it, and the commit that the script is of."""
    script = Path(os.path.abspath(sys.argv[0]))
    tags = {"mlflow.source.type": "LOCAL", "mlflow.source.name": _short(script)}
    with suppress(OSError, KeyError):  # a user without a name, as in a container
        tags["mlflow.user"] = getpass.getuser()
    commit = _commit(script.parent)
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def _short(script: Path) -> str:
    """A path as a user writes it."""
    here = Path.cwd()
    return str(script.relative_to(here) if script.is_relative_to(here) else script)


def _commit(folder: Path) -> str:
    """The commit that is checked out in a folder; nothing where git or a repository is not there."""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
