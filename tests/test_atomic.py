"""Files are whole whenever they are there, on the disk before they replace the old, and leave nothing behind."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from curriculum_search.atomic import DiskFullError, is_disk_full, is_whole_zip, replacing, set_aside, write_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail(path: Path, error: BaseException, num_bytes: int | None = None) -> None:
    """Fail in the middle of replacing a file."""
    with replacing(path, num_bytes) as partial:
        partial.write_text("half of the new")
        raise error


def test_a_file_is_on_the_disk_before_it_replaces_the_old_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "file", list[tuple[bool, str]]()
    path.write_text("old")
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        is_folder = Path(os.readlink(f"/proc/self/fd/{descriptor}")) == tmp_path
        seen.append((is_folder, path.read_text()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_whole(path, "new")
    assert seen == [(False, "old"), (True, "new")]


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), OSError(errno.EIO, "broken")])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(type(error)):
        fail(path, error)
    assert names(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_two_processes_write_to_different_paths(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from curriculum_search.atomic import replacing\n"
    code += "with replacing(Path(sys.argv[1])) as partial: print(partial); partial.write_text('theirs')"
    with replacing(tmp_path / "file") as ours:
        ours.write_text("ours")
        theirs = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "file"], capture_output=True, text=True, check=True
        ).stdout.strip()
        assert Path(theirs) != ours
        assert (tmp_path / "file").read_text() == "theirs"
    assert (tmp_path / "file").read_text() == "ours"
    assert names(tmp_path) == ["file"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host, living = socket.gethostname(), os.getppid()
    left = tmp_path / f"file.{host}.{dead.pid}.partial"
    elsewhere, old = tmp_path / "file.another.machine.7.partial", tmp_path / "file.another.machine.8.partial"
    for path in (left, elsewhere, old, tmp_path / f"file.{host}.{living}.partial", tmp_path / "other.partial"):
        path.write_text("half")
    os.utime(old, (0, 0))
    write_whole(tmp_path / "file", "new")
    assert set(names(tmp_path)) == {"file", elsewhere.name, f"file.{host}.{living}.partial", "other.partial"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_line_with_folder_need_and_remedy(tmp_path: Path, number: int) -> None:
    with pytest.raises(DiskFullError) as caught:
        fail(tmp_path / "file", OSError(number, os.strerror(number)), num_bytes=5_000_000)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}: {os.strerror(number)}: file needs 5 MB, and there is room for ")
    assert message.endswith("; make room there, and the same command goes on from where it was")
    assert "\n" not in message
    assert is_disk_full(caught.value)
    assert names(tmp_path) == []


def test_a_file_that_the_system_does_not_let_grow_is_told_the_same_way(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path; import torch\n"
        "from curriculum_search.training import checkpoint\n"
        "path = Path(sys.argv[1]); checkpoint.save(path, {'images': 1})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: checkpoint.save(path, {'images': 2, 'weights': torch.zeros(100_000)})\n"
        "except OSError as error: print(type(error).__name__, error, checkpoint.load(path)['images'])\n"
    )
    path = tmp_path / "checkpoint.pt"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(
        f"DiskFullError {tmp_path}: File too large: checkpoint.pt needs 400,512 bytes, and there is room for "
    )
    assert done.stdout.endswith("from where it was 1\n")
    assert done.stderr == ""
    assert names(tmp_path) == ["checkpoint.pt"]


def test_a_damaged_file_is_set_aside_beside_those_before_it(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "file").write_text(f"damaged {number}")
        assert set_aside(tmp_path / "file") == tmp_path / f"file.damaged-{number}"
    assert (tmp_path / "file.damaged-1").read_text() == "damaged 1"
    assert names(tmp_path) == ["file.damaged-1", "file.damaged-2"]


def test_an_archive_is_whole_as_long_as_every_member_has_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    np.savez(path, rows=np.arange(100.0))
    content = path.read_bytes()
    assert is_whole_zip(path)
    place = content.index(np.float64(50.0).tobytes())
    for damaged in (b"", content[:-50], content[:place] + b"\1" + content[place + 1 :], b"garbage"):
        path.write_bytes(damaged)
        assert not is_whole_zip(path)
