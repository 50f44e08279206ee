"""A study's journal file, as its driver writes it and as others read it.

Every record is in the file before anything else happens, so a killed driver loses none.  The disk is waited for when a
trial begins and when it ends, and not, as Optuna does, at each of its dozen records: a machine that loses its power may
lose the last values, which the runs' own logs have too.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileSymlinkLock


class Journal(JournalFileBackend):
    """Optuna's journal file, in Optuna's format and under Optuna's lock."""

    def __init__(self, path: Path) -> None:
        _drop_torn_line(path)
        self._path = path
        self._writing = JournalFileSymlinkLock(str(path))
        super().__init__(str(path), self._writing)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._writing.acquire()
        try:
            with self._path.open("a") as file:
                file.writelines(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        finally:
            self._writing.release()

    def sync(self) -> None:
        """Wait until the disk has everything."""
        with self._path.open("a") as file:
            os.fsync(file.fileno())


class JournalReader(BaseJournalBackend):
    """A journal as it stands, read once; its file is not touched, whoever may be writing to it."""

    def __init__(self, path: Path) -> None:
        whole = path.read_bytes().rpartition(b"\n")[0]  # without a line that is only half written
        self.logs = [json.loads(line) for line in whole.splitlines()]

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        yield from self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise AssertionError("a journal that is only read")


def _drop_torn_line(path: Path) -> None:
    """Cut off the half line that a killed driver may have left; Optuna would refuse the file after the next line."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)
