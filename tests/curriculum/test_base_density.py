"""The base density at work: it stays, moves with the clock, or follows the losses."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from curriculum_search.curriculum import Moving
from curriculum_search.curriculum.base_density import BaseDensity, base_density
from curriculum_search.diffusion import DDPM, Beta, Density, EntropyRate, LossSecondMoment, Uniform

PROCESS = DDPM()
FOLLOWING = [LossSecondMoment(num_bins=4, history=2), EntropyRate(num_bins=4, history=2)]


def after_losses(density: Density, losses: list[float], steps: int) -> BaseDensity:
    """What it is once every step has had these losses, one for each of four bins."""
    base = base_density(density, PROCESS)
    for _ in range(steps):
        q = torch.tensor([0.1, 0.3, 0.6, 0.9])
        base.observe(q, torch.tensor(losses), shared=True)
        base.update(0.0)
    return base


def test_one_that_stays_is_what_it_is_whatever_it_is_told() -> None:
    base = after_losses(Beta(a=2.0), [1.0, 2.0, 3.0, 4.0], 20)
    assert base.present is base.settled
    assert not base.needs_losses
    assert base.way == 1.0
    assert base.state_dict() is None


@pytest.mark.parametrize("density", FOLLOWING, ids=lambda d: d.kind)
def test_one_that_follows_looks_at_the_losses_every_eight_steps(density: Density) -> None:
    losses = [4.0, 1.0, 1.0, 1.0]
    assert after_losses(density, losses, 7).present.cdf_at(0.25) == 0.25
    eighth = after_losses(density, losses, 8)
    assert eighth.present.cdf_at(0.25) > 0.3
    again = base_density(density, PROCESS)
    again.load_state_dict(json.loads(json.dumps(eighth.state_dict())), 0.1)
    np.testing.assert_array_equal(again.present.cdf, eighth.present.cdf)


def test_only_one_that_keeps_its_objective_weights_its_losses() -> None:
    assert [base_density(density, PROCESS).unbiased for density in FOLLOWING] == [True, False]


@pytest.mark.parametrize("way", [0.0, 0.25, 1.0])
def test_one_that_moves_shares_its_knots_with_all_that_it_can_be(way: float) -> None:
    density: Any = Moving(start=Beta(a=3.0), end=Uniform())
    base = base_density(density, PROCESS)
    base.update(way / 2)
    assert set(base.present.knots) <= set(base.knots)
