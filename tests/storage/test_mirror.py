"""What changes in a folder comes to be in a bucket, in an order in which nothing is half said there."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from support.s3_server import S3Server

from curriculum_search.storage.claim import ClaimLostError
from curriculum_search.storage.mirror import Copied, Mirror
from curriculum_search.storage.remote import Remote


def mirrored(folder: Path, remote: Remote, lines: list[str], **options: Any) -> Mirror:
    copied = Copied.read(folder / ".copied.json")
    return Mirror(folder, remote, copied, owns=lambda _: True, tell=lines.append, patience_seconds=60, **options)


def uploads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are uploaded from now on."""
    names: list[str] = []
    upload = Remote.upload

    def noted(self: Remote, file: BinaryIO) -> None:
        names.append(self.name)
        upload(self, file)

    monkeypatch.setattr(Remote, "upload", noted)
    return names


def write(path: Path, text: str, at: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))


def test_files_are_copied_in_the_order_in_which_they_were_written(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = uploads(monkeypatch)
    write(tmp_path / "search.journal", "told", 1.0)
    write(tmp_path / "runs/a/result.json", "ended", 3.0)
    write(tmp_path / "runs/a/experiment.json", "begun", 2.0)
    write(tmp_path / "runs/a/log.jsonl", "{}", 4.0)
    for name in ("tune/x", ".lock", ".hidden/y", "z.json.host.1.partial"):
        write(tmp_path / name, "not to be copied", 1.0)
    assert not mirrored(tmp_path, Remote.of(s3.uri("mirror/order")), []).copy_changes()
    assert order == ["log.jsonl", "experiment.json", "result.json", "search.journal"]
    assert s3.names("mirror/order") == {
        "search.journal",
        *(f"runs/a/{name}" for name in ("experiment.json", "log.jsonl", "result.json")),
    }


def test_only_what_changes_is_copied_and_what_is_removed_goes_there_too(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = uploads(monkeypatch)
    remote = Remote.of(s3.uri("mirror/changes"))
    (tmp_path / "checkpoint.pt").write_text("first")
    (tmp_path / "gone.txt").write_text("soon")
    mirror = mirrored(tmp_path, remote, [])
    assert not mirror.copy_changes()
    # As a checkpoint is written: the last one becomes the one before, and need not travel again.
    (tmp_path / "checkpoint.pt").rename(tmp_path / "checkpoint.before.pt")
    (tmp_path / "checkpoint.pt").write_text("second")
    (tmp_path / "gone.txt").unlink()
    assert not mirror.copy_changes()
    assert copied == ["checkpoint.pt", "gone.txt", "checkpoint.pt"]
    assert s3.read("mirror/changes/checkpoint.before.pt") == "first"
    assert s3.read("mirror/changes/checkpoint.pt") == "second"
    assert s3.names("mirror/changes") == {"checkpoint.pt", "checkpoint.before.pt"}
    assert not mirrored(tmp_path, remote, []).copy_changes()  # of the next command
    assert len(copied) == 3


def test_nothing_is_copied_to_a_folder_that_is_anothers(s3: S3Server, tmp_path: Path) -> None:
    def check() -> None:
        raise ClaimLostError("another command has taken it over")

    lines: list[str] = []
    ends: list[bool] = []
    (tmp_path / "a.txt").write_text("mine")
    mirror = mirrored(tmp_path, Remote.of(s3.uri("mirror/lost")), lines, check=check, give_up=lambda: ends.append(True))
    with mirror:
        assert mirror.flush(lambda: 60.0) == "another command has taken it over"
    assert ends == [True]
    assert lines == ["another command has taken it over"]
    assert not s3.names("mirror/lost")
