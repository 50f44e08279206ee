"""A curriculum.json file per process, as a user has one."""

from pathlib import Path

import pytest
from support.curricula import Write

from curriculum_search.curriculum import Curriculum, Linear, UniformPartition
from curriculum_search.diffusion import Density, Process, Uniform

TOTAL_IMAGES = 4000


@pytest.fixture
def curriculum_file(tmp_path: Path) -> Write:
    """Write the file of a curriculum of four clusters, easy to hard over the first half of 4,000 images."""

    def write(process: Process, *, density: Density | None = None, curriculum: Curriculum | None = None) -> str:
        four = Curriculum(num_clusters=4, partition=UniformPartition(), pacing=Linear(end_share=0.5))
        path = tmp_path / "curriculum.json"
        (curriculum or four).resolve(process, density or Uniform(), TOTAL_IMAGES, 100).save(path)
        return str(path)

    return write
