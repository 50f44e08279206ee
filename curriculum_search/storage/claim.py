"""Keeps a second command away from a folder in a bucket.

A bucket has no locks.  Whoever wants the folder writes a claim there, a file of its own, and then looks for others: of
two that do so at about the same time at least one sees the other, for what has been written is found by whoever looks
afterwards (in S3, Google Cloud Storage, Azure and HDFS).  One that sees another's claim takes its own back.  A claim is
written anew every `BEAT_SECONDS`; one that has not been for `EXPIRY_SECONDS`, by the storage's clock, is that of a
command which was killed, or is cut off from the storage, and is removed.

So two commands never begin together.  A command that was cut off for so long that another one has taken its place finds
its claim gone as soon as the storage answers, before it copies anything there, and ends.
"""

import json
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from curriculum_search.loading import UserError
from curriculum_search.storage.remote import Remote, why

BEAT_SECONDS, EXPIRY_SECONDS = 15.0, 90.0
_LOOK_SECONDS = 2.0
_CLAIMS = ".claims"


class ClaimLostError(Exception):
    """Another command has taken the folder over."""


class Claim:
    """A command's claim to a folder in a bucket.

    Args:
        remote: the folder.
        copy: names the working copy that it is claimed for, which no second command on this machine can have.
    """

    def __init__(self, remote: Remote, copy: str) -> None:
        self.remote = remote
        self.copy = copy
        self.stays = False  #: whether it is left to expire, for something may still be written to the folder
        self._file = remote / _CLAIMS / copy
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="claim", daemon=True)

    def take(self) -> None:
        """Wait until it is clear whether another command has the folder, and claim it.

        Raises:
            UserError: one has it.
            OSError: the storage does not answer.
        """
        seen: dict[str, int] = {}
        told = False
        while True:
            self._write()
            claims = {name: written for name, (_, written) in (self.remote / _CLAIMS).versions().items()}
            now, began = claims.get(self.copy, 0), time.monotonic()
            others = {name: written for name, written in claims.items() if name != self.copy}
            if not others:
                self._thread.start()
                return
            self._file.delete()
            for name, written in others.items():
                if seen.setdefault(name, written) != written:
                    raise UserError(
                        f"{self.remote}: another command is at work there ({self._words(name)}); wait for it, or "
                        f"stop it"
                    )
                if (now - written) / 1e9 + time.monotonic() - began > EXPIRY_SECONDS:
                    (self.remote / _CLAIMS / name).delete()
            if not told:
                words = ", ".join(map(self._words, others))
                print(
                    f"{self.remote}: {words} was at work there; waiting for up to {EXPIRY_SECONDS:.0f} s to see "
                    f"whether it still is",
                    flush=True,
                )
                told = True
            time.sleep(_LOOK_SECONDS * random.uniform(0.5, 1.0))  # not in step with another that waits

    def check(self) -> None:
        """Find out whether the folder is still claimed.

        Raises:
            ClaimLostError: it is not.
            OSError: the storage does not answer.
        """
        if self._file.version() is None:
            raise ClaimLostError(
                f"{self.remote}: another command has taken it over, while this one was cut off from it; this one ends"
            )

    def release(self) -> None:
        """Give the folder free, if the storage answers."""
        self._ended.set()
        if not self.stays:
            with suppress(OSError):
                self._file.delete()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(OSError, ClaimLostError):  # which is said by whoever copies
                self.check()
                self._write()

    def _write(self) -> None:
        self._file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))

    def _words(self, name: str) -> str:
        text = (self.remote / _CLAIMS / name).read()
        if text is None:
            return "a command"
        owner = json.loads(text)
        return f"process {owner['pid']} on {owner['host']}"


@contextmanager
def claimed(remote: Remote, copy: str) -> Iterator[Claim]:
    """Have a folder for one working copy alone.

    Raises:
        UserError: another command has it, or nothing can be written there.
    """
    claim = Claim(remote, copy)
    try:
        claim.take()
    except OSError as error:
        raise UserError(f"{remote}: cannot be written to: {why(error)}") from error
    try:
        yield claim
    finally:
        claim.release()
