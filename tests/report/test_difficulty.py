"""The figure of how hard each noise level is."""

from pathlib import Path

import numpy as np
from matplotlib.patches import StepPatch

from curriculum_search.report import difficulty


def test_difficulty_shows_each_intervals_loss_and_each_study_over_q(tmp_path: Path) -> None:
    figure = difficulty(
        {"convergence": ([0.0, 0.5, 1.0], [1.6, 0.4]), "entropy": ([0.0, 0.25, 1.0], [3.4, 0.2])},
        losses={(0.0, 0.5): [(0, 1.0), (100, 0.8)], (0.5, 1.0): [(0, 1.0), (100, 0.05)]},
        title="digits",
    )
    left, right = figure.axes[:2]
    assert [np.asarray(line.get_ydata()).tolist() for line in left.lines] == [[1.0, 0.8], [1.0, 0.05]]
    assert left.get_yscale() == "log"
    steps = [patch.get_data() for patch in right.patches if isinstance(patch, StepPatch)]
    assert [list(values) for values, _, _ in steps] == [[1.6, 0.4], [3.4, 0.2]]
    assert [list(edges) for _, edges, _ in steps] == [[0.0, 0.5, 1.0], [0.0, 0.25, 1.0]]
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_before_anything_was_measured_there_is_a_figure_without_lines(tmp_path: Path) -> None:
    figure = difficulty({}, losses={})
    left, right = figure.axes[:2]
    assert not left.lines
    assert not right.patches
    figure.savefig(tmp_path / "figure.png")
