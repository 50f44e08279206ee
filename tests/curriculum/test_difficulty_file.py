import json
from pathlib import Path

import numpy as np
import pytest

from curriculum_search.curriculum import DifficultyCurve, DifficultyFile


def example() -> DifficultyFile:
    return DifficultyFile(
        process={"kind": "edm", "p_mean": -1.2},
        convergence=DifficultyCurve.normalised([0.0, 0.25, 1.0], [6.0, 2.0]),
        entropy=DifficultyCurve.normalised([0.0, 1.0], [0.3]),
        details={"losses": [0.1, 0.2]},
    )


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    example().save(tmp_path / "difficulty.json")
    assert DifficultyFile.load(tmp_path / "difficulty.json") == example()


def test_normalised_curves_have_mean_one_over_q_and_no_negative_values() -> None:
    curve = DifficultyCurve.normalised([0.0, 0.25, 0.5, 1.0], [6.0, -0.1, 2.0])
    np.testing.assert_allclose(curve.values, [2.4, 0.0, 0.8])
    assert np.array(curve.values) @ np.diff(curve.edges) == pytest.approx(1.0)


def test_the_difficulty_of_a_cluster_is_its_mean() -> None:
    curve = example().convergence  # 2 below 1/4 and 2/3 above
    np.testing.assert_allclose(curve.over(np.array([0.0, 0.5, 1.0])), [4 / 3, 2 / 3])


def test_stretches_without_difficulty_leave_clusters_distinct() -> None:
    curve = DifficultyCurve.normalised([0.0, 0.4, 0.6, 1.0], [1.0, 0.0, 1.0])
    inner = curve.split_equally(8)
    assert np.all(np.diff(np.concatenate([[0.0], inner, [1.0]])) > 0)


@pytest.mark.parametrize(
    ("edges", "values", "message"),
    [
        ((0.0, 0.5, 0.5, 1.0), (1.0, 1.0, 1.0), "edges must increase strictly from 0 to 1"),
        ((0.1, 1.0), (1.0,), "edges must increase strictly from 0 to 1"),
        ((0.0, 1.0), (1.0, 1.0), r"values must be one fewer than edges \(2\), not 2"),
        ((0.0, 0.5, 1.0), (3.0, -1.0), "values must be finite and at least 0"),
        ((0.0, 1.0), (2.0,), "values must have mean 1 over q, not 2"),
    ],
)
def test_a_curve_that_is_none_is_an_error(edges: tuple[float, ...], values: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DifficultyCurve(edges=edges, values=values)


def test_a_curve_without_difficulty_cannot_be_normalised() -> None:
    with pytest.raises(ValueError, match="at least one of them positive"):
        DifficultyCurve.normalised([0.0, 1.0], [0.0])


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    with pytest.raises(ValueError, match=r"other\.json cannot be read \(No such file"):
        DifficultyFile.load(path)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"other\.json is not a difficulty file"):
        DifficultyFile.load(path)
    example().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))
    with pytest.raises(ValueError, match=r"other\.json is not a difficulty file: it needs format .* and version 1"):
        DifficultyFile.load(path)
