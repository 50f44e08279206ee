"""What writes a curriculum.json file for a test."""

from typing import Protocol

from curriculum_search.curriculum import Curriculum
from curriculum_search.diffusion import Density, Process


class Write(Protocol):
    """Writes the file of a curriculum over the levels of a process, and gives its path."""

    def __call__(
        self, process: Process, *, density: Density | None = None, curriculum: Curriculum | None = None
    ) -> str: ...
