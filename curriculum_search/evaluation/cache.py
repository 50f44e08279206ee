"""Files that are made once and read from then on: reference statistics, the small classifier, downloads."""

import fcntl
import hashlib
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curriculum_search.atomic import replacing


def digest(*parts: Any) -> str:
    """16 hexadecimal digits that name `parts` (anything that JSON can write)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def once(path: Path, make: Callable[[Path], None]) -> Path:
    """The file at `path`, made by ``make(temporary_path)`` if it is not there yet.

    Trials that start together on one machine want the same file at the same moment: one makes it, the others wait for
    it.  A killed maker leaves nothing behind that could be taken for the file.
    """
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with replacing(path) as partial:
                make(partial)
    return path


def download_once(url: str, sha256: str, folder: Path, advice: str) -> Path:
    """The file behind `url`, downloaded into `folder` if it is not there yet.

    Args:
        url: where it is published.
        sha256: what its content must hash to.
        folder: where downloads are kept.
        advice: what a user without a network does instead; ends the error message.

    Raises:
        ValueError: there is no network, or what came is not the published file.
    """

    def fetch(target: Path) -> None:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer, target.open("wb") as file:
                while chunk := answer.read(1 << 20):
                    file.write(chunk)
        except OSError as error:
            raise ValueError(f"{url} could not be downloaded ({error}); {advice}") from error
        if (found := file_sha256(target)) != sha256:
            raise ValueError(f"what came from {url} has SHA-256 {found}, not {sha256}; {advice}")

    return once(folder / url.rpartition("/")[2], fetch)
