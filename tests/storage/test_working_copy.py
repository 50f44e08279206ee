"""A folder of this machine stands for one in a bucket, from one command to the next and from machine to machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.s3_server import S3Server

from curriculum_search.loading import UserError
from curriculum_search.storage import address_of, bring, kept, origin, working_copy_of
from curriculum_search.storage import mirror as mirrors
from curriculum_search.storage.remote import Remote


def study(s3: S3Server, path: str, cache: Path) -> Path:
    """The folder of a study in a working copy of a machine, which a cache stands for."""
    folder = working_copy_of(s3.uri(path), cache, setting="--results") / "study"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def command(folder: Path, lines: list[str] | None = None) -> Iterator[None]:
    with kept(folder, is_workers=lambda name: name.endswith(".pt"), tell=(lines if lines is not None else []).append):
        yield


def test_a_path_knows_what_it_stands_for(s3: S3Server, tmp_path: Path) -> None:
    folder = study(s3, "copy/knows", tmp_path)
    assert address_of(folder / "best.yaml") == s3.uri("copy/knows/study/best.yaml")
    assert address_of(tmp_path / "best.yaml") == str(tmp_path / "best.yaml")
    assert origin(tmp_path) is None
    assert study(s3, "copy/other", tmp_path) != folder


def test_another_machine_finds_what_the_first_has_left(s3: S3Server, tmp_path: Path) -> None:
    first, second = study(s3, "copy/two", tmp_path / "a"), study(s3, "copy/two", tmp_path / "b")
    with command(first):
        (first / "runs/x").mkdir(parents=True)
        (first / "runs/x/result.json").write_text("ended")
        (first / "runs/x/checkpoint.pt").write_text("the worker's business")
        (first / "search.journal").write_text("1")
    with command(second):
        assert (second / "runs/x/result.json").read_text() == "ended"
        assert not (second / "runs/x/checkpoint.pt").exists()
        (second / "search.journal").write_text("1 2")
    (first / "left").write_text("of a command that was cut off")
    with command(first):  # It has been overtaken.
        assert (first / "search.journal").read_text() == "1 2"
        assert not (first / "left").exists()


def test_what_a_killed_command_had_not_copied_is_gone_on_with_on_its_machine(s3: S3Server, tmp_path: Path) -> None:
    folder = study(s3, "copy/killed", tmp_path)
    with command(folder):
        (folder / "search.journal").write_text("1")
        (folder / "table.json").write_text("a")
    (folder / "search.journal").write_text("1 2")
    (folder / "table.json").unlink()
    with command(folder):
        assert (folder / "search.journal").read_text() == "1 2"
        assert (folder / "table.json").read_text() == "a"  # as where somebody has made room
    assert s3.read("copy/killed/study/search.journal") == "1 2"


def test_a_bucket_that_cannot_be_written_to_is_said_before_anything_starts(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study(s3, "copy/refused", tmp_path)
    monkeypatch.setattr(Remote, "write", _refuse)
    with (
        pytest.raises(UserError, match=r"copy/refused/study: cannot be written to: .* lets nobody in"),
        command(folder),
    ):
        raise AssertionError("It has begun.")


def _refuse(*_: object) -> None:
    raise OSError("AWS Error ACCESS_DENIED during PutObject operation")


def test_a_bucket_that_stays_away_ends_the_command_and_says_how_to_go_on(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(f"{kept.__module__}.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(f"{kept.__module__}._INTERRUPTED_SECONDS", 0.5)
    upload = Remote.upload
    monkeypatch.setattr(Remote, "upload", _refuse)
    lines: list[str] = []
    folder = study(s3, "copy/away", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        wait_in(folder, lines)
    assert len(lines) == 3
    assert "the work goes on" in lines[0]
    assert "it is waited for no more" in lines[1]
    assert "the same command on this machine takes it there and goes on" in lines[2]
    monkeypatch.setattr(Remote, "upload", upload)
    with command(folder):
        pass
    assert s3.read("copy/away/study/table.json") == "a"


def wait_in(folder: Path, lines: list[str]) -> None:
    with command(folder, lines):
        (folder / "table.json").write_text("a")
        threading.Event().wait(20.0)


def test_a_file_of_a_worker_on_another_node_is_brought(
    s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = study(s3, "copy/bring", tmp_path)
    remote = origin(folder)
    assert remote is not None
    (remote / "samples.png").write("image")
    bring(folder / "samples.png")
    bring(folder / "nothing.png")
    assert (folder / "samples.png").read_text() == "image"
    assert not (folder / "nothing.png").exists()
    assert not capsys.readouterr().out
