"""A study's journal file, as its driver writes it and as others read it.

Every record is in the file before anything else happens, so a killed driver loses none.  The disk is waited for when a
trial begins and when it ends, and not, as Optuna does, at each of its dozen records: a machine that loses its power may
lose the last values, which the runs' own logs have too.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileSymlinkLock

from curriculum_search.atomic import room_for

#: How long a lock that is found in place is waited for.  Whoever is alive holds it for milliseconds.
_LOCK_SECONDS = 1.0


class DamagedJournalError(ValueError):
    """A line of a journal cannot be read.

    No line can be left out, for a trial is known by its place in the file: without one that began a trial, what was
    written of all trials after it would be taken for another's.
    """


class Journal(JournalFileBackend):
    """Optuna's journal file, in Optuna's format and under Optuna's lock.

    Made by the one command that works on the study, whose folder is locked: a lock on the journal that stays was left
    by a driver that was killed, or came along with a folder that was moved, and is removed.

    Raises:
        DamagedJournalError: a line in the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        _remove_lock(path)
        _drop_torn_line(path)
        if path.exists():
            _records(path, path.read_bytes())
        self._path = path
        self._writing = JournalFileSymlinkLock(str(path))
        super().__init__(str(path), self._writing)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._writing.acquire()
        size = self._path.stat().st_size
        try:
            with room_for(self._path), self._path.open("a") as file:
                file.writelines(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        except OSError:
            os.truncate(self._path, size)  # Another line behind half a line would spoil the file.
            raise
        finally:
            self._writing.release()

    def sync(self) -> None:
        """Wait until the disk has everything."""
        with room_for(self._path), self._path.open("a") as file:
            os.fsync(file.fileno())


class JournalReader(BaseJournalBackend):
    """A journal as it stands, read once; its file is not touched, whoever may be writing to it.

    Raises:
        DamagedJournalError: a line in the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        whole = path.read_bytes().rpartition(b"\n")[0]  # without a line that is only half written
        self.logs = _records(path, whole)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        yield from self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise AssertionError("a journal that is only read")


def _records(path: Path, content: bytes) -> list[dict[str, Any]]:
    records = []
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n") if content else (), start=1):
        try:
            record = json.loads(line)
            record["op_code"]
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedJournalError(f"{path}: a line cannot be read (line {number}: {error})") from error
        records.append(record)
    return records


def _remove_lock(path: Path) -> None:
    lock = path.with_name(f"{path.name}.lock")  # as Optuna names it: a link, to the journal or to where that once was
    end = time.monotonic() + _LOCK_SECONDS
    while os.path.lexists(lock) and time.monotonic() < end:
        time.sleep(0.05)
    with suppress(FileNotFoundError):
        lock.unlink()


def _drop_torn_line(path: Path) -> None:
    """Cut off the half line that a killed driver may have left; Optuna would refuse the file after the next line."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)
