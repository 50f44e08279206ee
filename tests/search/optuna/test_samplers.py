"""The samplers that a study file can name."""

import importlib.util
from collections.abc import Callable

import optuna
import pytest
from support.spaces import SAMPLERS

from curriculum_search.loading import validated
from curriculum_search.search.optuna.samplers import CMAES, QMC, TPE, AnyOptuna, Grid, SearchSampler


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AnyOptuna(name="NoSampler"), "name must be one of .*TPESampler"),
        (
            lambda: AnyOptuna(name="BaseSampler"),
            "name must be one of BruteForceSampler, CmaEsSampler, NSGAIISampler, NSGAIIISampler, QMCSampler, "
            "RandomSampler, TPESampler, GPSampler, not 'BaseSampler'",
        ),
        (lambda: AnyOptuna(name="TPESampler", options={"speed": 1}).build(0), "options of sampler TPESampler: .*speed"),
        (lambda: TPE(multivariate=False), "group must be false where multivariate is false"),
        (lambda: Grid(points=0), "points must be at least 1, not 0"),
    ],
)
def test_a_sampler_that_cannot_be_made_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.to_dict()["kind"])
def test_every_sampler_is_written_and_read_by_its_kind(sampler: SearchSampler) -> None:
    read = validated(dict[str, SearchSampler], {"algorithm": sampler.to_dict()}, "x")
    assert read == {"algorithm": sampler}


def draws(sampler: SearchSampler, seed: int) -> list[float]:
    """What a sampler proposes first."""
    study = optuna.create_study(sampler=sampler.build(seed))
    asked = []
    for _ in range(3):
        trial = study.ask()
        asked.append(trial.suggest_float("a", 0.0, 1.0))
        study.tell(trial, 1.0)
    return asked


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.to_dict()["kind"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sampler_draws_by_its_seed(sampler: SearchSampler) -> None:
    assert draws(sampler, 1) == draws(sampler, 1) != draws(sampler, 2)


def test_an_option_of_optunas_own_wins() -> None:
    assert draws(AnyOptuna(name="TPESampler", options={"seed": 2}), 1) == draws(AnyOptuna(name="TPESampler"), 2)


def test_only_a_sequence_goes_on_with_the_seed_that_it_began_with() -> None:
    assert [type(sampler) for sampler in SAMPLERS if sampler.same_seed] == [QMC]


def test_a_sampler_whose_package_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="sampler kind cmaes needs the package cmaes: pip install cmaes"):
        CMAES().build(0)
