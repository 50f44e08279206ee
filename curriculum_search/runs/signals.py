"""How a command is asked to stop: once, so that what is under way is saved first; twice, at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from curriculum_search.entry import IS_RAY_JOB

#: Seconds that a command may take to save what is under way, by what asks it: somebody who waits at the terminal, a
#: machine that is about to go, a batch system that has been told how early to ask (SLURM's ``--signal=USR1@120``).
_PATIENCE = {signal.SIGINT: 10.0, signal.SIGTERM: 8.0, signal.SIGUSR1: 300.0}

#: ``ray job stop`` kills a job so many seconds after it asked, 3 unless Ray is told otherwise.  Half of that is for
#: what a command does after it has waited.
_JOB_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"


@contextmanager
def stop_signals(ask: Callable[[str], None]) -> Iterator[None]:
    """Have a first SIGINT, SIGTERM or SIGUSR1 within the block call `ask` with its name.

    A second one, or the end of the time that there is, raises KeyboardInterrupt.  Outside the main thread nothing is
    sent to anybody, and nothing changes.

    Args:
        ask: called in the main thread, between any two of its instructions; it should only take a note.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (*_PATIENCE, signal.SIGALRM)}
    is_timed = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def first(number: int, frame: FrameType | None) -> None:
        nonlocal is_timed
        is_timed = True
        for each in before:
            signal.signal(each, interrupt)
        signal.setitimer(signal.ITIMER_REAL, patience_seconds(number))
        ask(signal.Signals(number).name)

    for number in _PATIENCE:
        signal.signal(number, first)
    try:
        yield
    finally:
        if is_timed:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)


def patience_seconds(number: int) -> float:
    """How long what is under way may take to be saved after a signal."""
    if number == signal.SIGTERM and IS_RAY_JOB in os.environ:
        return float(os.environ.get(_JOB_WAIT, 3.0)) / 2
    return _PATIENCE[signal.Signals(number)]
