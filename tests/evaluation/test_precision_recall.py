"""Precision and recall, against other packages and balls drawn one by one."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.arrays import Numbers

from curriculum_search.evaluation import precision_recall as module
from curriculum_search.evaluation.precision_recall import precision_recall


@pytest.mark.parametrize(("k", "precision", "recall"), [(1, 0.68, 0.35), (3, 0.98, 0.6333333333333333)])
def test_agrees_with_prdc_and_torch_fidelity(numbers: Numbers, k: int, precision: float, recall: float) -> None:
    reference, generated = torch.from_numpy(numbers(60, 3)), torch.from_numpy(0.75 * numbers(50, 3, stream=1) + 0.25)
    # compute_prdc of prdc 0.2; torch-fidelity 0.4.0 gives the same in float32.
    found = precision_recall(reference, generated, num_neighbours=k)
    assert found == pytest.approx((precision, recall), rel=1e-12)


def test_agrees_with_balls_drawn_one_by_one() -> None:
    rng = np.random.default_rng(0)
    reference, generated, k = rng.normal(size=(23, 2)), rng.normal(size=(17, 2)) + 0.8, 2

    def share_inside(points: NDArray[np.float64], members: NDArray[np.float64]) -> float:
        radii = [np.sort(np.linalg.norm(members - m, axis=1))[k] for m in members]
        inside = [any(np.linalg.norm(p - m) <= r for m, r in zip(members, radii, strict=True)) for p in points]
        return float(np.mean(inside))

    found = precision_recall(torch.from_numpy(reference), torch.from_numpy(generated), num_neighbours=k)
    assert found == pytest.approx((share_inside(generated, reference), share_inside(reference, generated)))


def test_a_set_far_away_covers_nothing_and_a_collapsed_one_recalls_little() -> None:
    rng = np.random.default_rng(0)
    reference = torch.from_numpy(rng.normal(size=(300, 3)))
    assert precision_recall(reference, reference + 100) == (0.0, 0.0)
    precision, recall = precision_recall(reference, reference[:1] + 1e-3 * torch.randn(300, 3))
    assert precision > 0.9
    assert recall < 0.05


def test_chunks_do_not_change_the_result(numbers: Numbers, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, generated = torch.from_numpy(numbers(60, 3)), torch.from_numpy(0.75 * numbers(50, 3, stream=1) + 0.25)
    whole = precision_recall(reference, generated)
    monkeypatch.setattr(module, "_CHUNK", 7)
    assert precision_recall(reference, generated) == whole
