"""Files that are whole whenever they are there, and what is said where the disk has no room for one."""

import errno
import glob
import os
import shutil
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ORPHANED_SECONDS = 3600.0  # without a write, after which another machine's process is taken for dead


class DiskFullError(OSError):
    """There was no room for a file.  The message is one line: the folder, what there was no room for, what to do."""

    def __init__(self, path: Path, error: OSError, *, num_bytes: int | None = None, written: int = 0) -> None:
        """
        Args:
            path: of the file.
            error: as the system raised it.
            num_bytes: that the file needs, where that is known.
            written: bytes of it that are there and that will not stay.
        """
        words = f"{path.parent}: {error.strerror}: "
        words += f"{path.name} needs {_shown(num_bytes)}" if num_bytes else f"{path.name} cannot be written"
        with suppress(OSError):
            words += f", and there is room for {_shown(shutil.disk_usage(path.parent).free + written)}"
        super().__init__(f"{words}; make room there, and the same command goes on from where it was")


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that a disk, a quota or the allowed size of a file is used up."""
    return isinstance(error, OSError) and (isinstance(error, DiskFullError) or error.errno in _FULL)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Where the block finds no room for what it adds to the file at `path`, say it as `DiskFullError` does."""
    try:
        yield
    except OSError as error:
        if isinstance(error, DiskFullError) or not is_disk_full(error):
            raise
        raise DiskFullError(path, error) from error


@contextmanager
def replacing(path: Path, num_bytes: int | None = None, *, former: Path | None = None) -> Iterator[Path]:
    """A path beside `path` to write to, whose file takes its place in one move at the end of the block.

    The file and its folder are on the disk when that is done, so that a power cut leaves the old file or the new one.
    Where an error ends the block, `path` stays as it was and nothing is left beside it.  A kill may leave what it has
    written; whoever writes `path` next removes that.  The path is this process's own, so two that write `path` at the
    same time leave what one of them has written.

    Args:
        path: what is replaced.
        num_bytes: that the file will have about, where that is known, for the message.
        former: where the file goes that was at `path`; None: nowhere.

    Raises:
        DiskFullError: there is no room for the file.
    """
    remove_orphans(path.parent, glob.escape(path.name))
    partial = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
    try:
        yield partial
        _sync(partial)
        if former is not None:
            with suppress(FileNotFoundError):
                os.replace(path, former)
        os.replace(partial, path)
    except BaseException as error:
        full = None
        if isinstance(error, OSError) and not isinstance(error, DiskFullError) and is_disk_full(error):
            full = DiskFullError(path, error, num_bytes=num_bytes, written=_size(partial))
        with suppress(OSError):
            partial.unlink()
        if full is not None:
            raise full from error
        raise
    with suppress(OSError):  # There are file systems on which a folder cannot be waited for.
        _sync(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one move; see `replacing`."""
    with replacing(path) as partial:
        partial.write_bytes(text.encode())


def set_aside(path: Path) -> Path:
    """Rename a damaged file, so that another can take its place and nothing is lost; its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside


def is_whole_zip(path: Path) -> bool:
    """Whether a file is a zip archive, as PyTorch and NumPy write them, whose members all have their checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # Whatever a damaged archive brings about: it is not whole.
        return False


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_orphans(folder: Path, name: str = "*") -> None:
    """Remove what killed processes had written of the files of a name in a folder.

    Args:
        folder: where they are.
        name: of the file that they would have become, as a pattern; "*": any.
    """
    end = f".{socket.gethostname()}"
    for path in folder.glob(f"{name}.*.partial"):
        writer, _, pid = path.name.removesuffix(".partial").rpartition(".")
        with suppress(OSError, ValueError):
            is_dead = writer.endswith(end) and not _is_alive(int(pid))
            if is_dead or time.time() - path.stat().st_mtime > _ORPHANED_SECONDS:
                path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _shown(num_bytes: int) -> str:
    return f"{num_bytes:,} bytes" if num_bytes < 1e6 else f"{num_bytes / 1e6:,.0f} MB"
