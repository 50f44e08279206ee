"""A journal whose driver is dead: its lock goes, its half line goes, and what cannot be read is named."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from curriculum_search.atomic import DiskFullError
from curriculum_search.search.optuna.journal import DamagedJournalError, Journal, JournalReader

LOG = {"op_code": 0, "worker_id": "w", "study_name": "s", "directions": [1]}


@pytest.mark.parametrize("target", ["{path}", "/where/the/folder/was/study.journal", "study.journal"])
def test_a_lock_that_was_left_is_removed_wherever_it_points_to(tmp_path: Path, target: str) -> None:
    path = tmp_path / "study.journal"
    Journal(path).append_logs([LOG])
    os.symlink(target.format(path=path), f"{path}.lock")
    journal = Journal(path)
    journal.append_logs([LOG])
    assert list(journal.read_logs(0)) == [LOG, LOG]
    assert [file.name for file in tmp_path.iterdir()] == ["study.journal"]


@pytest.mark.parametrize("line", ['{"op_code": 0, "work', "\0\0\0", "7", "{}", "\udcff"])
def test_a_line_that_cannot_be_read_is_named_with_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "study.journal"
    text = "\n".join([json.dumps(LOG), line, json.dumps(LOG), ""])
    path.write_bytes(text.encode(errors="surrogateescape"))
    for open_journal in (Journal, JournalReader):
        with pytest.raises(DamagedJournalError, match=r"study\.journal: a line cannot be read \(line 2: "):
            open_journal(path)
    assert path.read_bytes() == text.encode(errors="surrogateescape")


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study.journal"
    journal = Journal(path)
    journal.append_logs([LOG])
    real = json.dumps

    def full(value: Any, **options: Any) -> str:
        if value == "two":
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(value, **options)

    monkeypatch.setattr(json, "dumps", full)
    with pytest.raises(DiskFullError, match=r"No space left on device: study\.journal cannot be written"):
        journal.append_logs([LOG, "two"])  # type: ignore[list-item]
    journal.append_logs([LOG])
    assert list(Journal(path).read_logs(0)) == [LOG, LOG]
