"""The end of what a program has said, and the line in it that says why the program failed."""

import re
from collections.abc import Sequence
from pathlib import Path

OUTPUT = "output.txt"
#: Lines that a user is shown.
SHOWN = 30
_TAIL_BYTES = 1 << 16
_RANK = re.compile(r"^\[\w+\]:\s?")
_TRACEBACK = "Traceback (most recent call last):"
#: What torchrun and ``accelerate launch`` add: that a worker has failed, and not why.
_LAUNCHER = re.compile(r'^\s+File ".*(torch/distributed/launcher|accelerate/commands)/')
_LAUNCHER_LOG = re.compile(r"^[EW]\d{4} .*\btorch[./]distributed[./]elastic\b")


def last_lines(output: Path) -> list[str]:
    """The last lines that say something, at most 64 KB of them; none if there is no such file.

    What torchrun and ``accelerate launch`` add when a worker has failed is left out, and so is the rank before a
    worker's line.
    """
    if not output.exists():
        return []
    with output.open("rb") as file:
        file.seek(max(output.stat().st_size - _TAIL_BYTES, 0))
        lines = file.read().decode(errors="replace").splitlines()
    said = (_RANK.sub("", line) for line in lines if not _LAUNCHER_LOG.match(line))
    lines = [line for line in said if line.strip()]
    while (began := _last_traceback(lines)) is not None and any(map(_LAUNCHER.match, lines[began:])):
        lines = lines[:began]
    return lines


def cause(lines: Sequence[str]) -> str:
    """Why a program has failed: the error of its last traceback, or else its last line."""
    began = _last_traceback(lines)
    after = lines[began + 1 :] if began is not None else []
    said = next((line for line in after if not line.startswith(" ")), lines[-1] if lines else "it has said nothing")
    return said.strip()


def _last_traceback(lines: Sequence[str]) -> int | None:
    return next((i for i in reversed(range(len(lines))) if lines[i].strip() == _TRACEBACK), None)
