"""A real terminal: a pseudo-terminal with a program in it, and what its user sees."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyte

REPOSITORY = Path(__file__).parents[2]


class Terminal:
    """Runs a Python program in a pseudo-terminal, some lines of it after the other, within ``stack``, an `ExitStack`.

    Args:
        setup: lines that the program begins with.
        columns, rows: of the terminal.
        environment: beside that of this process.
        stderr: a file for standard error; None: the terminal.

    Attributes:
        screen: what is shown, as a terminal makes it of the bytes.
        raw: all bytes by now.
    """

    def __init__(
        self,
        setup: str,
        *,
        columns: int = 100,
        rows: int = 30,
        environment: Mapping[str, str] | None = None,
        stderr: Path | None = None,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        self._resize(columns, rows)
        self.modes = termios.tcgetattr(slave)
        commands, self._commands = os.pipe()
        self._done, done = os.pipe()
        program = (
            f"{setup}\nimport contextlib, os\nstack = contextlib.ExitStack()\n"
            f"with stack:\n"
            f"    for line in os.fdopen({commands}):\n"
            f"        exec(line.replace(chr(0), chr(10)), globals())\n"
            f"        os.write({done}, b'.')\n"
        )
        plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR")}
        with contextlib.ExitStack() as stack:
            error = stack.enter_context(stderr.open("w")) if stderr else slave
            self.process = subprocess.Popen(
                [sys.executable, "-c", _in_main(program)],
                stdin=slave,
                stdout=slave,
                stderr=error,
                cwd=REPOSITORY,
                env=plain | {"TERM": "xterm-256color", "PYTHONPATH": str(REPOSITORY)} | dict(environment or {}),
                pass_fds=(commands, done),
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
            )
        self._slave = slave
        os.close(commands)
        os.close(done)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for fd in (self._master, self._slave, self._done, self._commands):
            with contextlib.suppress(OSError):
                os.close(fd)

    def do(self, lines: str) -> None:
        """Run lines in the program, and see what it shows."""
        self.begin(lines)
        self._see(until=lambda: bool(select.select([self._done], [], [], 0)[0]))
        os.read(self._done, 1)

    def begin(self, lines: str) -> None:
        """Run lines in the program, without waiting for their end."""
        os.write(self._commands, lines.strip().replace("\n", "\0").encode() + b"\n")

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size; its lines are not wrapped anew."""
        self._resize(columns, rows)
        self.screen.resize(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def interrupt(self) -> int:
        """Press Ctrl-C, and wait for the exit status."""
        os.write(self._master, b"\x03")
        return self.end()

    def end(self) -> int:
        """Wait for the exit status; what the program is still to do, it does."""
        with contextlib.suppress(OSError):
            os.close(self._commands)
        self._see(until=lambda: self.process.poll() is not None)
        return self.process.wait()

    def lines(self) -> list[str]:
        """What is shown, without the empty lines at the end."""
        shown = [line.rstrip() for line in self.screen.display]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def now(self) -> list[Any]:
        """The terminal's modes."""
        return termios.tcgetattr(self._slave)

    def _resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _see(self, until: Any) -> None:
        deadline = time.monotonic() + 60
        over = False
        while not over:
            over = until()
            assert time.monotonic() < deadline, self.lines()
            while select.select([self._master], [], [], 0.02)[0]:
                data = os.read(self._master, 65536)
                self.raw += data
                self._stream.feed(data)


def _in_main(program: str) -> str:
    """The program as a command of ours runs it."""
    return (
        "from curriculum_search.entry import run_command\n"
        f"run_command(lambda: exec(compile({program!r}, 'program', 'exec'), globals()))\n"
    )
