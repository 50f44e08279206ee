"""A lock keeps another process out as long as it lives, and goes with it."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray import tune
from support.jobs import base_job
from support.workplace import Workplace

from curriculum_search.lock import locked
from curriculum_search.runs import worker
from curriculum_search.runs.folder import WORKERS_LOCK
from curriculum_search.runs.job import RunError

HOLDER = """
import sys, time
from pathlib import Path
from curriculum_search.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(path: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that holds the lock for so many seconds."""
    command = [sys.executable, "-c", HOLDER, str(path), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".lock"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = hold(path, 600)
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_kept_out_until_the_first_is_killed(path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(BlockingIOError), locked(path):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    with locked(path, seconds=60) as no_locks:
        assert no_locks == ""


def test_it_can_be_waited_for(path: Path) -> None:
    holder = hold(path, 0.5)
    with locked(path, seconds=60):
        pass
    assert holder.wait(60) == 0
    with locked(path):  # and the next has it at once
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_where_there_are_no_locks_nobody_is_kept_out(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(path) as no_locks:
        assert no_locks == os.strerror(number)


def test_two_processes_do_not_train_one_run(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, and trains when that is gone."""
    sent: list[object] = []
    job = base_job(workplace, workplace.load(), "one")
    job.run_dir.mkdir(parents=True)
    other = hold(job.run_dir / WORKERS_LOCK, 600)
    monkeypatch.setattr(tune, "report", sent.append)
    monkeypatch.setattr(worker, "_PATIENCE_SECONDS", 0.3)
    with pytest.raises(RunError) as caught:
        worker.run_trial({"job": job.encode()})
    assert caught.value.reason == (
        f"RuntimeError: another process still trains this run in {job.run_dir}, after 0 s; end it"
    )
    assert sent == []
    other.kill()
    other.communicate()
    monkeypatch.setattr(worker, "_PATIENCE_SECONDS", 60.0)
    worker.run_trial({"job": job.encode()})
    assert len(sent) >= 4
