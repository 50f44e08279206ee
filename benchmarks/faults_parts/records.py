"""What is kept of the injections (faults.json), and the tables that are made of it."""

import json
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faults_parts.checks import Found
from faults_parts.commands import REPOSITORY
from faults_parts.kinds import KINDS

from curriculum_search.atomic import write_whole
from curriculum_search.lock import locked

RECORDS = REPOSITORY / "benchmarks" / "faults.json"
LONG, SHORT = REPOSITORY / "docs" / "how-to" / "long-runs.md", REPOSITORY / "README.md"
_BEGIN, _END = "<!-- faults: written by benchmarks/faults.py --write -->\n", "\n<!-- faults: end -->"

Records = dict[str, dict[str, Any]]


def read_records(path: Path = RECORDS) -> Records:
    """What has been found, by the name of the fault."""
    return json.loads(path.read_text()) if path.exists() else {}


def keep(name: str, found: Found, path: Path = RECORDS) -> None:
    """Write down what one more injection of a fault has led to."""
    with _only_writer(path):
        records = read_records(path)
        columns = asdict(found)
        known = records.get(name, {column: [] for column in columns})
        _write(records | {name: {column: [*known[column], value] for column, value in columns.items()}}, path)


def forget(names: Sequence[str], path: Path = RECORDS) -> None:
    """Take out what is written down of some faults."""
    with _only_writer(path):
        _write({name: record for name, record in read_records(path).items() if name not in names}, path)


def _write(records: Records, path: Path) -> None:
    lines = [f"{json.dumps(name)}: {json.dumps(records[name])}" for name in KINDS if name in records]
    write_whole(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _only_writer(path: Path) -> AbstractContextManager[str]:
    return locked(Path(tempfile.gettempdir()) / f"{path.name}.lock", seconds=60)


def row(name: str, record: dict[str, Any]) -> str:
    """A line of the table of all faults."""
    noticed = [each for each in record["noticed"] if each is not None]
    words = f"; noticed after {statistics.median(noticed):.0f} steps ({max(noticed)})" if noticed else ""
    return _line(
        name, len(record["lost"]), _lost(record["lost"]), max(record["commands"]), _wrong(record["wrong"]) + words
    )


def table(records: Records) -> str:
    """All faults that have been injected."""
    head = ["fault", "times", "images lost, median (most)", "commands, most", "wrong"]
    rows = [row(name, records[name]) for name in KINDS if name in records]
    return "\n".join([_line(*head), "|---" * len(head) + "|", *rows])


def short_table(records: Records) -> str:
    """The faults by group."""
    head = ["fault", "times", "images lost, median (most)", "wrong results"]
    rows = []
    for group in dict.fromkeys(kind.group for kind in KINDS.values()):
        of = [records[name] for name, kind in KINDS.items() if kind.group == group and name in records]
        if of:
            lost, wrong = ([each for record in of for each in record[column]] for column in ("lost", "wrong"))
            rows.append(_line(group, len(lost), _lost(lost), _wrong(wrong)))
    return "\n".join([_line(*head), "|---" * len(head) + "|", *rows])


def replaced(page: str, text: str) -> str:
    """A page with other text where the table is."""
    before, _, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError(f"there is no {_BEGIN.strip()} or no {_END.strip()}")
    return f"{before}{_BEGIN}\n{text}\n{end}{after}"


def write_pages(records: Records) -> None:
    """Put the tables into the pages."""
    write_whole(LONG, replaced(LONG.read_text(), table(records)))
    write_whole(SHORT, replaced(SHORT.read_text(), short_table(records)))


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _lost(images: list[int]) -> str:
    return f"{statistics.median(images):.0f} ({max(images)})"


def _wrong(wrong: list[list[str]]) -> str:
    """How many injections led to anything wrong."""
    count = sum(map(bool, wrong))
    return f"**{count} of {len(wrong)}**" if count else "none"
