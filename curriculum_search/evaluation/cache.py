"""Files that are made once and read from then on: reference statistics, the small classifier, downloads."""

import fcntl
import hashlib
import json
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from curriculum_search.atomic import is_disk_full, is_whole_zip, replacing

T = TypeVar("T")


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
    if not path.exists():
        with _locked(path):
            if not path.exists():
                with replacing(path) as partial:
                    make(partial)
    return path


def once_whole(path: Path, make: Callable[[Path], None], read: Callable[[Path], T]) -> T:
    """What `read` makes of the file at `path`, a zip archive as NumPy and PyTorch write them, made as `once` does.

    A file that is not as it was written, by the checksums in it, is made anew, and a warning names it.
    """
    return read(_remade(path, make, is_whole_zip))


def _remade(path: Path, make: Callable[[Path], None], is_whole: Callable[[Path], bool]) -> Path:
    """As `once`; a file that is not whole is made anew."""
    if is_whole(once(path, make)):
        return path
    with _locked(path):
        if not is_whole(path):  # Another may have been faster.
            warnings.warn(f"{path} is damaged, and is made anew", stacklevel=4)
            with replacing(path) as partial:
                make(partial)
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep others who want to make a file waiting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        with suppress(OSError):  # Where the file system has no locks, each makes the file, and the last one stays.
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def download_once(url: str, sha256: str, folder: Path, advice: str) -> Path:
    """The file behind `url`, downloaded into `folder` if it is not there yet, or not as it was published.

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
            if is_disk_full(error):
                raise
            raise ValueError(f"{url} could not be downloaded ({error}); {advice}") from error
        if (found := file_sha256(target)) != sha256:
            raise ValueError(f"what came from {url} has SHA-256 {found}, not {sha256}; {advice}")

    return _remade(folder / url.rpartition("/")[2], fetch, lambda path: file_sha256(path) == sha256)
