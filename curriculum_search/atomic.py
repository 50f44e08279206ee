"""Files that are whole whenever they are there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to, whose file takes its place in one move at the end of the block.

    Where an error or a kill ends the block, `path` stays as it was.
    """
    partial = path.with_name(f"{path.name}.partial")
    yield partial
    os.replace(partial, path)
