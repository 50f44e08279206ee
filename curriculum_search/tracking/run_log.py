"""A file of JSON lines: what a run has said, in the order in which it said it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class RunLog:
    """Records in a file, one JSON object a line; only ever appended to, by one process at a time.

    Survives the death of that process at any moment: what was appended stays, and a line that was not written to its
    end is no record.  It is not forced onto the disk, so a power cut may take the last seconds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, *records: Mapping[str, Any]) -> None:
        """Add records at the end, in one write; the folder is made if it is missing."""
        lines = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records).encode()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b") as file:
            if file.seek(0, os.SEEK_END) > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.truncate(self._end_of_last_record())
            file.write(lines)

    def read(self) -> list[Record]:
        """All records; none if there is no file yet."""
        return self.read_from(0)[0]

    def read_from(self, offset: int, max_bytes: int = -1) -> tuple[list[Record], int]:
        """The records from a byte offset on, and the offset at which to go on later.

        Args:
            offset: 0, or what an earlier call returned.
            max_bytes: read about as much and leave the rest for later.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(offset)
                data = file.read() if max_bytes < 0 else b"".join(file.readlines(max_bytes))
        except FileNotFoundError:
            return [], offset
        whole = data[: data.rfind(b"\n") + 1]
        return [json.loads(line) for line in whole.splitlines()], offset + len(whole)

    def _end_of_last_record(self) -> int:
        return self.path.read_bytes().rfind(b"\n") + 1
