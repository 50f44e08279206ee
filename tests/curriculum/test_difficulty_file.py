import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum_search.curriculum import (
    Curriculum,
    DifficultyCurve,
    DifficultyFile,
    MeasuredOrder,
    MeasuredPartition,
    NoOrder,
)
from curriculum_search.diffusion import DDPM, EDM, EulerSampler, Flow, Process
from curriculum_search.evaluation import Evaluation
from curriculum_search.experiment import Experiment


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


PARTS = [
    lambda path, curve: {"partition": MeasuredPartition(path=path, curve=curve)},
    lambda path, curve: {"order": MeasuredOrder(path=path, curve=curve)},
]
V = DDPM(prediction="v", schedule="cosine", num_timesteps=500)


@pytest.mark.parametrize("part", PARTS, ids=["partition", "order"])
@pytest.mark.parametrize(
    ("measured_on", "curve", "process", "message"),
    [
        (V.to_dict(), "convergence", EDM(), "a process with kind ddpm, and this one has kind edm"),
        (V.to_dict(), "entropy", Flow(), "a process with kind ddpm, and this one has kind flow"),
        (V.to_dict(), "convergence", replace(V, prediction="x0"), "prediction v, and this one has prediction x0"),
        (V.to_dict(), "entropy", replace(V, schedule="linear"), "schedule cosine, and this one has schedule linear"),
        (
            V.to_dict(),
            "convergence",
            DDPM(),
            "schedule cosine, num_timesteps 500, prediction v, and this one has schedule linear, num_timesteps 1000, "
            "prediction epsilon",
        ),
        (EDM().to_dict(), "entropy", EDM(p_mean=-0.4), "p_mean -1.2, and this one has p_mean -0.4"),
        # What makes no difference, or is not known:
        (V.to_dict(), "convergence", V, ""),
        (V.to_dict(), "convergence", replace(V, learned_variance=True), ""),
        (V.to_dict(), "entropy", replace(V, prediction="x0"), ""),
        (EDM().to_dict(), "entropy", EDM(sigma_data=1.0), ""),
        ({"kind": "ddpm"}, "convergence", V, ""),
        ({}, "convergence", V, ""),
    ],
)
def test_a_curve_of_another_process_is_refused(
    tmp_path: Path, part: Any, measured_on: dict[str, Any], curve: str, process: Process, message: str
) -> None:
    path = str(tmp_path / "difficulty.json")
    replace(example(), process=measured_on).save(path)
    curriculum = Curriculum(num_clusters=4, **part(path, curve))
    evaluation = Evaluation() if isinstance(process, DDPM) else Evaluation(sampler=EulerSampler())
    experiment = Experiment(process=process, curriculum=curriculum, evaluation=evaluation)
    if not message:
        experiment.check()
        return
    with pytest.raises(ValueError, match=rf"curriculum: path: the {curve} curve of {path} was measured on .*{message}"):
        experiment.check()
    replace(experiment, curriculum=replace(experiment.curriculum, order=NoOrder())).check()


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
