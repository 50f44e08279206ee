"""The part of a terminal that changes in place, below the lines that stay."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, RenderableType
from rich.live import Live

#: Makes what is shown, for a width in characters.
Render = Callable[[int], RenderableType]


@contextmanager
def screen(render: Render) -> Iterator[Callable[[], None] | None]:
    """Show what `render` makes at the bottom of the terminal, until the block ends, however it ends.

    What is printed, warned of or logged meanwhile comes above it, each line once.  When the block ends the part is
    gone, the cursor is where the next line goes, and it can be seen.

    Yields:
        What draws it anew; None where standard output is no terminal, or one that cannot go back (``TERM=dumb``).
    """
    console = Console()
    if not (sys.stdout.isatty() and console.is_terminal) or console.is_dumb_terminal:
        yield None
        return
    before = sys.stdout, sys.stderr
    live = Live(
        console=console,
        get_renderable=lambda: render(console.width),
        auto_refresh=False,  # What is shown changes in the thread that draws it.
        transient=True,
        redirect_stderr=sys.stderr.isatty(),
    )
    with live, _logged_above(*before):
        live.refresh()
        yield live.refresh


@contextmanager
def _logged_above(out: TextIO, err: TextIO) -> Iterator[None]:
    """Have the handlers of all loggers, which hold on to the streams that they were made with, use those of now."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    handlers = {handler for logger in loggers if isinstance(logger, logging.Logger) for handler in logger.handlers}
    moved: list[tuple[logging.StreamHandler[TextIO], TextIO]] = []
    for handler in handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream in (out, err):
            moved.append((handler, handler.stream))
            handler.setStream(sys.stdout if handler.stream is out else sys.stderr)
    try:
        yield
    finally:
        for handler, stream in moved:
            handler.setStream(stream)
