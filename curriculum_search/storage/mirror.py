"""Copies what changes in a folder to a bucket, behind the back of whoever works in the folder.

A pass finds the files that have changed since they were last copied, opens them, and copies them in the order in which
they were last written, but logs (``.jsonl``), which only grow, first, and the search's journal last.  A file that is
written to while a pass begins is left to the next one.  So at any moment the bucket has, of everything that a file
tells, also what was written before it, as a folder has whose command was killed: nothing is half said there.
"""

import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from curriculum_search.atomic import write_whole
from curriculum_search.storage.claim import ClaimLostError
from curriculum_search.storage.remote import Remote, Version, why

#: Which version of a file is here: when it was written, in ns, its size in bytes, its inode.
Stamp = tuple[int, int, int]

_EVERY_SECONDS = 5.0
_MOST_FILES = 200  # of a pass
_LAST_SECONDS = 2.0  # that a copy which is under way at the end is waited for
_LONGEST_PAUSE_SECONDS = 30.0
_NEVER = ("tune", "ray_train")  # folders, of Ray
_LOGS, _JOURNAL = ".jsonl", ".journal"


@dataclass
class Copied:
    """What of a folder is in its bucket, kept in a file of the folder.

    Attributes:
        path: of the file.
        name: of the working copy.
        here: of each file that was copied, which version of it here.
        there: the same, as the bucket has it, where anybody asks.
    """

    path: Path
    name: str = ""
    here: dict[str, Stamp] = field(default_factory=dict)
    there: dict[str, Version] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the file says; nothing where there is none, or none that can be read."""
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            plain = json.loads(path.read_text())
            here: dict[str, Stamp] = {name: tuple(stamp) for name, stamp in plain["here"].items()}
            there: dict[str, Version] = {name: tuple(version) for name, version in plain["there"].items()}
            return cls(path, str(plain["name"]), here, there)
        return cls(path)

    def write(self) -> None:
        """Write the file."""
        write_whole(self.path, json.dumps({"name": self.name, "here": self.here, "there": self.there}))


def stamp(found: os.stat_result) -> Stamp:
    """Which version of a file is here."""
    return found.st_mtime_ns, found.st_size, found.st_ino


class Mirror:
    """Copies a folder to a bucket until it is left.

    Args:
        folder: here.
        remote: there.
        copied: what is there already.
        owns: whether a file, by its path in the folder, is this mirror's to copy.
        check: called before anything is copied; raises `ClaimLostError` where it must not be.
        tell: takes a line about a storage that does not answer.
        give_up: called once, when the storage has not answered for `patience_seconds`, or the folder is another's.
        patience_seconds: see `give_up`.
        asks: whether `Copied.there` is kept.
    """

    def __init__(
        self,
        folder: Path,
        remote: Remote,
        copied: Copied,
        *,
        owns: Callable[[str], bool],
        tell: Callable[[str], None],
        check: Callable[[], None] = lambda: None,
        give_up: Callable[[], None] = lambda: None,
        patience_seconds: float,
        asks: bool = False,
    ) -> None:
        self.folder = folder
        self.remote = remote
        self.copied = copied
        self.lost = ""  #: why nothing must be copied any more
        self._owns = owns
        self._check = check
        self._tell = tell
        self._give_up = give_up
        self._patience = patience_seconds
        self._asks = asks
        self._seen: set[str] = set()
        self._away_since: float | None = None
        self._trouble = ""
        self._gave_up = False
        self._wake = threading.Condition()
        self._hurry = self._ended = False
        self._failures = 0
        self._passes = 0  # that found nothing left to be copied
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def __enter__(self) -> Self:
        self._seen = {name for name in self.copied.here if self._owns(name) and (self.folder / name).exists()}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._wake:
            self._ended = True
            self._wake.notify_all()
        self._thread.join(_LAST_SECONDS)

    @property
    def is_at_work(self) -> bool:
        """Whether something may still be copied: the storage has not answered to what was begun before the end."""
        return self._thread.is_alive()

    @property
    def patience_left(self) -> float:
        """Seconds that a storage that does not answer is still waited for."""
        since = self._away_since
        return self._patience - (time.monotonic() - since if since is not None else 0.0)

    def copy_changes(self) -> bool:
        """Copy, in one pass, what has changed; whether something is left that was being written to.

        Raises:
            ClaimLostError, OSError: nothing can be copied.
        """
        found = dict(self._files())
        changed = [name for name, (_, at) in found.items() if self.copied.here.get(name) != at]
        gone = [name for name in self._seen if name not in found]
        self._seen = set(found)
        changed.sort(key=lambda name: (_rank(name), found[name][1][0]))
        if not (changed or gone):
            return False
        left = len(changed) > _MOST_FILES
        self._check()
        try:
            with ExitStack() as stack:
                opened: list[tuple[str, BinaryIO, Stamp]] = []
                for name in reversed(changed[:_MOST_FILES]):
                    with suppress(FileNotFoundError):
                        file: BinaryIO = stack.enter_context(found[name][0].open("rb"))
                        at = stamp(os.fstat(file.fileno()))
                        if at == found[name][1] or name.endswith(_LOGS):
                            opened.append((name, file, at))
                        else:
                            left = True
                for name, file, at in reversed(opened):
                    if self._ended:
                        return True
                    self._copy(name, file, at)
            for name in gone:
                (self.remote / name).delete()
                self.copied.here.pop(name, None)
        except OSError:
            self._seen |= set(gone)
            raise
        finally:
            self.copied.write()
        return left

    def flush(self, seconds: Callable[[], float]) -> str:
        """Wait until the bucket has everything; what keeps it from that, in words, or nothing.

        Args:
            seconds: gives how much longer to wait.
        """
        with self._wake:
            before, self._hurry = self._passes, True
            self._wake.notify_all()
            # A pass that is under way may have looked before what is wanted was written: the next one has not.
            while self._passes < before + 2 and not self.lost and (left := seconds()) > 0:
                self._wake.wait(min(left, 1.0))
            self._hurry = False
            if self._passes >= before + 2:
                return ""
        return self.lost or self._trouble or "it was too slow"

    def _run(self) -> None:
        while True:
            failures = self._failures
            with self._wake:
                pause = min(_EVERY_SECONDS * 2**failures, _LONGEST_PAUSE_SECONDS)
                if self._hurry:
                    pause = 1.0 if failures else 0.0
                self._wake.wait_for(lambda: self._ended or (self._hurry and not self._failures), pause)
                if self._ended:
                    return
            try:
                left = self.copy_changes()
            except ClaimLostError as error:
                if self._ended:  # and the claim was given back
                    return
                self.lost = str(error)
                self._tell(self.lost)
                self._give_up()
                return
            except OSError as error:
                self._failures = min(failures + 1, 10)
                self._away(why(error))
                continue
            self._failures = 0
            self._back()
            if not left:
                with self._wake:
                    self._passes += 1
                    self._wake.notify_all()

    def _away(self, trouble: str) -> None:
        self._trouble = trouble
        if self._away_since is None:
            self._away_since = time.monotonic()
            self._tell(
                f"{self.remote}: nothing can be copied there: {trouble}; the work goes on, and what is missing there "
                f"is copied as soon as it answers"
            )
        elif self.patience_left <= 0 and not self._gave_up:
            self._gave_up = True
            self._tell(f"{self.remote}: no answer for {self._patience / 60:.0f} minutes; it is waited for no more")
            self._give_up()

    def _back(self) -> None:
        if self._away_since is not None:
            seconds = time.monotonic() - self._away_since
            self._away_since, self._trouble = None, ""
            self._tell(f"{self.remote}: answers again, after {seconds:.0f} s; it has everything now")

    def _copy(self, name: str, file: BinaryIO, at: Stamp) -> None:
        """Copy a file, or have the storage do so where it has the same under another name, as an older checkpoint."""
        target = self.remote / name
        twin = next((other for other, stamp in self.copied.here.items() if stamp == at), None)
        if twin is not None:
            with suppress(OSError):
                (self.remote / twin).copy_to(target)
                self._note(name, at)
                return
        target.upload(file)
        self._note(name, at)

    def _note(self, name: str, at: Stamp) -> None:
        self.copied.here[name] = at
        if self._asks and (version := (self.remote / name).version()) is not None:
            self.copied.there[name] = version

    def _files(self) -> Iterator[tuple[str, tuple[Path, Stamp]]]:
        for root, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".") and name not in _NEVER]
            for name in names:
                path = Path(root, name)
                relative = path.relative_to(self.folder).as_posix()
                if name.startswith(".") or name.endswith((".partial", ".lock")) or not self._owns(relative):
                    continue
                with suppress(FileNotFoundError):
                    found = path.lstat()
                    if stat.S_ISREG(found.st_mode):
                        yield relative, (path, stamp(found))


def _rank(name: str) -> int:
    """Logs are copied first, for they may say more than the rest, and the search's journal last."""
    return 0 if name.endswith(_LOGS) else 2 if name.endswith(_JOURNAL) else 1
