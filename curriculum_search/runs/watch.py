"""What a worker watches while it trains: that its driver lives, and that the run says something now and then."""

import faulthandler
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STACKS = "stacks.txt"  #: in the run's folder: where each thread of a silent run stood
_LOOK_SECONDS = 2.0
_SILENT_FACTOR, _SILENT_SECONDS = 10.0, 120.0


@dataclass(frozen=True, kw_only=True)
class ProcessId:
    """A process that others on the same machine can find again.

    Attributes:
        machine: tells where its number means something: the machine since its last start, and the name space.
        pid: its number.
        started: when it started, in ticks of the kernel since the machine did.
    """

    machine: str
    pid: int
    started: str

    @classmethod
    def own(cls) -> "ProcessId":
        """That of this process."""
        return cls(machine=_machine(), pid=os.getpid(), started=_stat(os.getpid())[1])

    def is_gone(self) -> bool:
        """Whether the process has ended, reaped or not; of one on another machine nothing is known, so it has not."""
        if not self.machine or self.machine != _machine():
            return False
        state, started = _stat(self.pid)
        return state in ("", "Z", "X") or started != self.started


def _machine() -> str:
    """Empty where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, str]:
    """State and start of a process; empty if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[19]


class Watch:
    """The threads that watch a run; see `watching`."""

    def __init__(self, stacks: Path, drivers: tuple[ProcessId, ...], limit_seconds: float | None) -> None:
        self._stacks = stacks
        self._drivers = drivers
        self._limit_seconds = limit_seconds
        self._heard = time.monotonic()
        self._longest = 0.0
        self._dumped = False
        self._ended = threading.Event()
        self._file: Any = None

    def start(self) -> None:
        """Begin."""
        self._stacks.unlink(missing_ok=True)
        self._file = self._stacks.open("w")
        self._arm()
        threading.Thread(target=self._look, name="watch", daemon=True).start()

    def said(self) -> None:
        """Take that the run has said something."""
        now = time.monotonic()
        self._longest, self._heard, self._dumped = max(self._longest, now - self._heard), now, False
        self._arm()

    def end(self) -> None:
        """Watch no more."""
        self._ended.set()
        faulthandler.cancel_dump_traceback_later()
        self._file.close()
        if not self._stacks.stat().st_size:
            self._stacks.unlink()

    def _arm(self) -> None:
        # Not a thread of Python's: what hangs may hold the interpreter.
        if self._limit_seconds is not None:
            faulthandler.dump_traceback_later(self._limit_seconds, exit=True, file=self._file)

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            if any(driver.is_gone() for driver in self._drivers):
                os._exit(1)  # Whatever it writes now, another process may be writing too.
            silent = time.monotonic() - self._heard
            if not self._dumped and silent > max(_SILENT_FACTOR * self._longest, _SILENT_SECONDS):
                self._dumped = True
                faulthandler.dump_traceback(file=self._file)


@contextmanager
def watching(run_dir: Path, *, rank: int, driver: ProcessId | None, limit_minutes: float | None) -> Iterator[Watch]:
    """Watch a run in this process, to be told of what it says.

    The process ends within seconds of its driver, or of Ray's process that it belongs to.  After a silence that is long
    beside those before it, it leaves its stacks in the run's folder; after `limit_minutes` it leaves them and ends.

    Args:
        run_dir: the run's folder.
        rank: of this process among the workers of the run.
        driver: who has handed the run out.
        limit_minutes: of silence; None: as long as it likes.
    """
    parent = ProcessId(machine=_machine(), pid=os.getppid(), started=_stat(os.getppid())[1])
    drivers = tuple(process for process in (driver, parent) if process is not None)
    stacks = run_dir / (f"{rank}-{STACKS}" if rank else STACKS)
    watch = Watch(stacks, drivers, None if limit_minutes is None else 60 * limit_minutes)
    watch.start()
    try:
        yield watch
    finally:
        watch.end()
