"""What a worker watches: its driver, and its own silence; in processes of their own, which end by it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.workplace import wait_for

from curriculum_search.runs import watch
from curriculum_search.runs.watch import STACKS, ProcessId, watching

#: A worker that hangs while it is watched; its driver, and its limit in minutes, are its arguments.
WORKER = """
import sys
import time
from pathlib import Path

from curriculum_search.runs import watch

watch._LOOK_SECONDS = 0.05
folder, machine, pid, started, limit = sys.argv[1:]
driver = watch.ProcessId(machine=machine, pid=int(pid), started=started)
with watch.watching(Path(folder), rank=0, driver=driver, limit_minutes=float(limit) if limit else None) as watched:
    watched.said()
    print("watched", flush=True)

    def hang_here():
        time.sleep(600)

    hang_here()
"""


def start_worker(folder: Path, driver: ProcessId, limit: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(folder), driver.machine, str(driver.pid), driver.started, limit]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "watched\n"
    return process


def id_of(process: subprocess.Popen[bytes]) -> ProcessId:
    return ProcessId(machine=ProcessId.own().machine, pid=process.pid, started=watch._stat(process.pid)[1])


def test_a_process_is_found_again_by_its_number_and_start() -> None:
    own = ProcessId.own()
    assert own.pid == os.getpid()
    assert not own.is_gone()
    assert ProcessId(machine=own.machine, pid=own.pid, started="1").is_gone()  # another that has the number now
    assert not ProcessId(machine="elsewhere", pid=2**22 + 1, started="1").is_gone()  # nobody can tell


def test_a_process_that_has_ended_is_gone_whether_it_is_reaped_or_not() -> None:
    child = subprocess.Popen(["sleep", "600"])
    known = id_of(child)
    assert not known.is_gone()
    child.kill()
    assert wait_for(known.is_gone, 10)  # a zombie, for nobody has waited for it
    child.wait()
    assert known.is_gone()


def test_a_worker_ends_with_its_driver_even_if_nobody_reaps_that(tmp_path: Path) -> None:
    driver = subprocess.Popen(["sleep", "600"])
    worker = start_worker(tmp_path, id_of(driver))
    assert worker.poll() is None
    driver.send_signal(signal.SIGKILL)
    assert wait_for(lambda: worker.poll() is not None, 30)
    assert worker.returncode == 1
    driver.wait()


def test_a_run_that_is_silent_for_too_long_leaves_its_stacks_and_ends(tmp_path: Path) -> None:
    worker = start_worker(tmp_path, ProcessId.own(), limit=str(1 / 60))
    assert worker.wait(60) == 1
    stacks = (tmp_path / STACKS).read_text()
    assert stacks.startswith("Timeout (0:00:01)!")
    assert "in hang_here" in stacks


def test_a_silence_that_is_long_beside_those_before_leaves_stacks_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watch, "_SILENT_SECONDS", 0.1)
    with watching(tmp_path, rank=0, driver=None, limit_minutes=None) as watched:
        watched.said()
        assert wait_for(lambda: (tmp_path / STACKS).stat().st_size > 0, 10)
        watched.said()
    assert "test_a_silence" in (tmp_path / STACKS).read_text()


def test_a_run_that_says_something_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / STACKS).write_text("of an earlier try")
    with watching(tmp_path, rank=0, driver=ProcessId.own(), limit_minutes=10) as watched:
        for _ in range(3):
            watched.said()
            time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []
