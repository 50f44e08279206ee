"""A measured difficulty to partition and order by."""

from pathlib import Path

import pytest

from curriculum_search.curriculum import DifficultyCurve, DifficultyFile


@pytest.fixture
def difficulty_path(tmp_path: Path) -> str:
    """By convergence the middle is the hardest and the noisy end the easiest; by entropy the clean half is harder."""
    path = tmp_path / "difficulty.json"
    DifficultyFile(
        process={"kind": "ddpm"},
        convergence=DifficultyCurve.normalised([0.0, 0.4, 0.6, 1.0], [2.0, 5.0, 1.0]),
        entropy=DifficultyCurve.normalised([0.0, 0.5, 1.0], [3.0, 1.0]),
    ).save(path)
    return str(path)
