"""A file's lock, by which one process keeps the others out.  It goes when its process does, however that ends."""

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: What a file system answers that cannot lock.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
_LOOK_SECONDS = 0.1


@contextmanager
def locked(path: Path, *, seconds: float = 0.0) -> Iterator[str]:
    """Hold a file's lock; the file is made if it is missing.

    Args:
        path: of the file.
        seconds: how long to wait for another process to let go of it.

    Yields:
        What the file system says where it has no locks, so that nobody is kept out; else nothing.

    Raises:
        BlockingIOError: another process has it.
        OSError: the file cannot be opened for writing.
    """
    end = time.monotonic() + seconds
    with open(path, "a") as file:
        reason = ""
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise
                time.sleep(_LOOK_SECONDS)
            except OSError as error:  # as on Lustre where it is mounted without flock
                if error.errno not in _NO_LOCKS:
                    raise
                reason = error.strerror or str(error)
                break
        yield reason
