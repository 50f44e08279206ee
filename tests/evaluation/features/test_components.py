"""Principal components of values that come in parts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from curriculum_search.evaluation.features.components import fitted_once

CPU = torch.device("cpu")


def test_components_are_fitted_once_and_kept(tmp_path: Path) -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 6)) * [6, 5, 4, 3, 2, 1]).float()
    path = tmp_path / "components.npz"
    first = fitted_once(path, 6, 3, torch.split(values, 20), CPU)
    again = fitted_once(path, 6, 3, iter(()), CPU)
    assert first.checksum == again.checksum
    rows = first(values)
    assert torch.equal(rows, again(values))
    torch.testing.assert_close(rows.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    assert first.dimension == 3


def test_directions_in_which_nothing_varies_are_the_first_values(tmp_path: Path) -> None:
    values = torch.zeros(20, 5)
    values[:, 3] = torch.linspace(-1, 1, 20)
    rows = fitted_once(tmp_path / "components.npz", 5, 3, [values], CPU)(torch.eye(5))
    assert rows.abs().tolist() == [
        pytest.approx(row, abs=1e-6) for row in ([0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 0, 0])
    ]
