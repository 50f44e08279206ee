"""The folder of this machine in which commands work whose results are in a bucket.

It knows what it is a copy of, as a clone of a repository does, by a file at its top.  Each folder in it that a command
works in, that of a study or of a single run, is brought up to date when the command begins, and copied to the bucket
while it works.  In the bucket ``.holder`` names the working copy that had the folder last: where that is this one, what
is here is what is there or newer; else what is here is thrown away, and what is there brought here.
"""

import hashlib
import re
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from curriculum_search.atomic import write_whole
from curriculum_search.loading import UserError
from curriculum_search.storage.claim import claimed
from curriculum_search.storage.mirror import Copied, Mirror, stamp
from curriculum_search.storage.remote import Remote, download_all, why

#: How long a command goes on without its bucket, and waits for it at its end.
PATIENCE_SECONDS = 1800.0
#: How long it is waited for by a command that is interrupted, or ends by an error.
_INTERRUPTED_SECONDS, _FAILED_SECONDS = 5.0, 60.0

ORIGIN, _COPIED, _HOLDER = ".origin", ".copied.json", ".holder"


def working_copy_of(address: str, cache_dir: Path, *, setting: str) -> Path:
    """The folder here that stands for a bucket's folder of all results.

    Args:
        address: of that.
        cache_dir: the folder for what can be had again, where it is made.
        setting: what messages call the address.

    Raises:
        UserError: there can be nothing at the address, or the storage does not answer, or lets nobody in.
    """
    remote = Remote.of(address, setting=setting)
    remote.check(setting=setting)
    slug = re.sub(r"\W+", "-", str(remote)).strip("-")[-60:]
    folder = cache_dir / "results" / f"{slug}-{hashlib.sha256(remote.address.encode()).hexdigest()[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / ORIGIN).exists():
            write_whole(folder / ORIGIN, remote.address)
    except OSError as error:
        raise UserError(
            f"{folder}: the folder cannot be made ({error.strerror}); set CURRICULUM_SEARCH_CACHE to another"
        ) from error
    return folder


def origin(path: Path) -> Remote | None:
    """What of a bucket a path here stands for; None if it is in no working copy."""
    for folder in (path, *path.parents):
        if (folder / ORIGIN).is_file():
            remote = Remote.of((folder / ORIGIN).read_text())
            return remote if folder == path else remote / path.relative_to(folder).as_posix()
    return None


def address_of(path: Path) -> str:
    """A path as it is told to the user: the address of what is in a bucket."""
    remote = origin(path)
    return str(path) if remote is None else remote.address


def bring(path: Path) -> None:
    """Bring a file here that a worker on another node has written, if it is not here; a storage that does not answer
    is not waited for."""
    remote = None if path.exists() else origin(path)
    if remote is not None:
        try:
            remote.download(path)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                print(f"{remote}: cannot be fetched: {why(error)}", flush=True)


@contextmanager
def kept(folder: Path, *, is_workers: Callable[[str], bool], tell: Callable[[str], None]) -> Iterator[None]:
    """Work in a folder.  Where it stands for one in a bucket, it is as that is when the block begins, and copied there
    until the block has ended; a second command is kept out.

    A storage that does not answer is told of, and waited for without holding anything up.  If it stays away, the block
    is interrupted as by Ctrl-C.

    Args:
        folder: here, which no other process works in.
        is_workers: whether a file, by its path in the folder, is copied by the worker that writes it.
        tell: takes a line for the user.

    Raises:
        UserError: another command is at work there, nothing can be written there, or, at the end, not everything could
            be copied.
    """
    remote = origin(folder)
    if remote is None:
        yield
        return
    copied = Copied.read(folder / _COPIED)
    copied.name = copied.name or uuid.uuid4().hex
    with claimed(remote, copied.name) as claim:
        try:
            _restore(folder, remote, copied, is_workers)
        except OSError as error:
            raise UserError(f"{remote}: cannot be brought here: {why(error)}") from error
        mirror = Mirror(
            folder,
            remote,
            copied,
            owns=lambda name: not is_workers(name),
            check=claim.check,
            tell=tell,
            give_up=_interrupt,
            patience_seconds=PATIENCE_SECONDS,
        )
        try:
            with mirror:
                yield from _copied_at_the_end(mirror, tell)
        finally:
            claim.stays = mirror.is_at_work


def _copied_at_the_end(mirror: Mirror, tell: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _finish(mirror, tell, lambda: _INTERRUPTED_SECONDS)
        raise
    except BaseException:
        _finish(mirror, tell, lambda: min(_FAILED_SECONDS, mirror.patience_left))
        raise
    if trouble := _finish(mirror, tell, lambda: mirror.patience_left, silent=True):
        raise UserError(trouble)


def _interrupt() -> None:
    """End the block as Ctrl-C does, which first asks what is under way to save itself."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def _finish(mirror: Mirror, tell: Callable[[str], None], seconds: Callable[[], float], *, silent: bool = False) -> str:
    """Have everything copied, as long as that may take; what is not, in words, or nothing."""
    end = time.monotonic() + seconds()
    trouble = mirror.flush(lambda: min(end - time.monotonic(), seconds()))
    if not trouble or mirror.lost:
        return trouble
    words = (
        f"{mirror.remote}: not everything is there ({trouble}); it is kept in {mirror.folder}, and the same command on "
        f"this machine takes it there and goes on"
    )
    if not silent:
        tell(words)
    return words


def _restore(folder: Path, remote: Remote, copied: Copied, is_workers: Callable[[str], bool]) -> None:
    """Have a folder here as it is there, or as it is here where nobody else has had it since."""
    holder = (remote / _HOLDER).read()
    is_ours = holder == copied.name
    if not is_ours:
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()
        copied.here = {}
    there = [name for name in remote.versions() if not is_workers(name) and not _is_hidden(name)]
    missing = {folder / name: remote / name for name in there if not (folder / name).exists()}

    def note(path: Path) -> None:
        copied.here[path.relative_to(folder).as_posix()] = stamp(path.stat())

    download_all(missing, note)
    copied.write()
    if not is_ours:
        (remote / _HOLDER).write(copied.name)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
