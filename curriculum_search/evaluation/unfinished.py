"""What an evaluation does so that one which is interrupted need not begin again."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

State = Mapping[str, Any]
"""Tensors, numbers, strings, and lists and dictionaries of them."""


class Keeper(Protocol):
    """Keeps what the workers of an evaluation have collected so far; each of them calls its own."""

    def find(self, what: str) -> State | None:
        """What was last kept of this evaluation on all workers, after the same block; None: nothing, so they begin.

        Every worker must call it.

        Args:
            what: tells the samples, and what is wanted of them, from others; the weights are the keeper's business.
        """

    def after_block(self, what: str, collected: Callable[[], State], *, together: bool) -> None:
        """A block of samples has been taken in; keep what is collected, if it is time to.

        Args:
            what: as given to `find`.
            collected: gives what is to be kept.
            together: every worker calls this after a block of the same number, so that they can agree.

        Raises:
            Interrupted: the run is to stop, and what was collected has been kept.
        """
