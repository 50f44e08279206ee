"""A space in Optuna's terms, and back."""

import functools
from collections.abc import Mapping
from typing import Any

import optuna
import pytest
from support.spaces import SPACE

from curriculum_search.direction import Direction
from curriculum_search.search.optuna.encoding import decode, encode, suggest, to_directions, to_optuna
from curriculum_search.search.space import Categorical, Distribution, Float, Int, Space

CHOICES = Space(
    parameters={
        "widths": Categorical(choices=((1, 2), (1, 2, 2))),
        "pacing": Categorical(choices=({"kind": "linear", "end_share": 0.25}, {"kind": "root"})),
        "plain": Categorical(choices=("none", None, True, 3, 0.5)),
    }
)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Float(low=1e-4, high=1e-2, log=True), optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)),
        (Int(low=2, high=20, step=3), optuna.distributions.IntDistribution(2, 20, step=3)),
        (Categorical(choices=("a", None)), optuna.distributions.CategoricalDistribution(["a", None])),
        (Categorical(choices=((1, 2),)), optuna.distributions.CategoricalDistribution(["[1, 2]"])),
    ],
)
def test_a_distribution_is_optunas_own(ours: Distribution, theirs: optuna.distributions.BaseDistribution) -> None:
    assert to_optuna(ours) == theirs


@pytest.mark.parametrize("space", [SPACE, CHOICES], ids=["conditions", "choices"])
def test_what_optuna_was_told_is_the_configuration_that_was_drawn(space: Space) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        params = space.define(functools.partial(suggest, trial))
        space.check(params)
        assert encode(params) == trial.params
        assert decode(space, trial.params) == params
        assert set(trial.params) == set(params)
        for path, value in trial.distributions.items():
            assert value == to_optuna(space.parameters[path])


@pytest.mark.parametrize("told", [{"widths": "[1, 2, 3]"}, {"other": 1}])
def test_what_is_none_of_the_space_is_refused(told: Mapping[str, Any]) -> None:
    with pytest.raises((KeyError, StopIteration)):
        decode(CHOICES, told)


def test_directions_are_optunas_own() -> None:
    assert to_directions([Direction.MAXIMIZE, Direction.MINIMIZE]) == [
        optuna.study.StudyDirection.MAXIMIZE,
        optuna.study.StudyDirection.MINIMIZE,
    ]
