"""A file of JSON lines: what a run has said, in the order in which it said it."""

import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from curriculum_search.atomic import replacing

Record = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A line of a log.

    Attributes:
        start: its first byte in the file.
        text: all of it, with its end.
    """

    start: int
    text: bytes

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.start + len(self.text)

    @cached_property
    def mark(self) -> str:
        """Where it ends and what it holds: tells whether a log has this line at this place."""
        return f"{self.end}:{zlib.crc32(self.text):08x}"

    @cached_property
    def record(self) -> Record:
        """What it holds.

        Raises:
            ValueError: no JSON object.
        """
        record = json.loads(self.text)
        if not isinstance(record, dict):
            raise ValueError("no JSON object")
        return record


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
        """All records; none if there is no file yet.

        Raises:
            ValueError: a line cannot be read; the message names it.
        """
        records = []
        for number, line in enumerate(self.lines(), 1):
            try:
                records.append(line.record)
            except ValueError as error:
                raise ValueError(f"{self.path}: line {number} cannot be read ({error}); remove that line") from error
        return records

    def lines(self, offset: int = 0, max_bytes: int = -1) -> list[Line]:
        """The lines from a byte offset on, as far as they are written to their end; none if there is no file yet.

        Args:
            offset: 0, or the end of an earlier line.
            max_bytes: read about as much and leave the rest for later.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(offset)
                texts = file.readlines(max_bytes)
        except FileNotFoundError:
            return []
        lines = []
        for text in texts:
            if text.endswith(b"\n"):
                lines.append(Line(offset, text))
                offset += len(text)
        return lines

    def keep_only(self, lines: Iterable[Line]) -> Path:
        """Leave all other lines out; where the file is kept as it was."""
        kept = self.path.with_name(f"{self.path.name}.damaged")
        shutil.copyfile(self.path, kept)
        with replacing(self.path) as partial:
            partial.write_bytes(b"".join(line.text for line in lines))
        return kept

    def _end_of_last_record(self) -> int:
        return self.path.read_bytes().rfind(b"\n") + 1
