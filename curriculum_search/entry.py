"""How a command begins and ends.

Importing torch, Ray and the rest takes seconds.  This module imports none of them, and the commands in jobs/ do so
within `run_command`, so that a signal that arrives meanwhile ends a command as it does later; what trains and judges
they import only when the user's file is read, so that a mistake in it is told sooner.
"""

import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType

#: Set by Ray in the process that ``ray job submit`` starts.
IS_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def path_or_address(text: str) -> Path | str:
    """An argument that names a file or folder: its path, or the address of what is in a bucket (`storage.fetched`)."""
    return text if "://" in text else Path(text)


def run_command(main: Callable[[], None]) -> None:
    """Run a command's main function and exit: 0 done, 2 a user's mistake (one message), 130 interrupted.

    SIGTERM, which is how ``ray job stop`` asks, and SIGUSR1, which is how SLURM can be told to, end the command as
    Ctrl-C does.  So does SIGINT where it was ignored, as shells have it in what they start in the background.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, _interrupt)
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        try:
            main()
        except ValueError as error:
            from curriculum_search.loading import UserError

            if not isinstance(error, UserError):
                raise
            print(f"error: {error}", file=sys.stderr, flush=True)
            sys.exit(2)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr, flush=True)
        sys.exit(130)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
