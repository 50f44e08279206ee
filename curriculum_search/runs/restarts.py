"""When a run that broke off is started again: decisions only, from how it broke off and how far it had come.

An error that a run raises is likely to be its config's or its code's fault, and is tried again only so often.  The
death of a process or a node is nobody's fault: it has a budget of its own, which progress renews, and waits a little
longer each time.  A run that uses that budget up is lost for this command, and gone on with by the next.  A run that
was asked to leave, and has been saved, is started again elsewhere, as often as that comes.
"""

from dataclasses import dataclass
from enum import Enum

_MOST_ERRORS = 2  # restarts after an error, whatever the progress
_MOST_DEATHS = 5  # restarts after deaths without progress in between
_FIRST_PAUSE_SECONDS = 1.0  # before the second restart in a row; doubled each time


class Break(Enum):
    """How a run broke off.

    ERROR: it raised one.
    DEATH: its process, or the node that it was on, is gone.
    SILENCE: it was ended because it had said nothing for too long.
    NOTICE: it was asked to leave, as where its node is about to go, and has been saved.
    """

    ERROR = "error"
    DEATH = "death"
    SILENCE = "silence"
    NOTICE = "notice"


@dataclass
class _Tries:
    images: int = 0
    errors: int = 0
    deaths: int = 0
    images_at_death: int = -1


class Restarts:
    """What is known of the runs of a command that broke off."""

    def __init__(self) -> None:
        self._runs: dict[str, _Tries] = {}

    def progressed(self, key: str, images: int) -> None:
        """Take how far a run has come."""
        tries = self._runs.setdefault(key, _Tries())
        tries.images = max(tries.images, images)

    def decide(self, key: str, broke: Break) -> float | None:
        """Seconds after which a run that broke off is started again; None: it is not."""
        tries = self._runs.setdefault(key, _Tries())
        if broke is Break.SILENCE:
            return None
        if broke is Break.NOTICE:
            return 0.0
        if broke is Break.ERROR:
            tries.errors += 1
            return 0.0 if tries.errors <= _MOST_ERRORS else None
        tries.deaths = 1 if tries.images > tries.images_at_death else tries.deaths + 1
        tries.images_at_death = tries.images
        if tries.deaths > _MOST_DEATHS:
            return None
        return _FIRST_PAUSE_SECONDS * 2.0 ** (tries.deaths - 2) if tries.deaths > 1 else 0.0
