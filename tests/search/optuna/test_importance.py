"""The importance of parameters, on made-up searches whose answer is known."""

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from curriculum_search.direction import Direction
from curriculum_search.search.optuna.encoding import suggest, to_directions
from curriculum_search.search.optuna.importance import Importances, importances
from curriculum_search.search.space import Categorical, Float, Int, Space

WITH = {"curriculum.order.kind": ["easy_to_hard", "random"]}
SPACE = Space(
    parameters={
        "training.learning_rate": Float(low=1e-3, high=1e-2, log=True),
        "curriculum.order.kind": Categorical(choices=("easy_to_hard", "random", "none")),
        "curriculum.num_clusters": Int(low=3, high=20, when=WITH),
        "curriculum.pacing.kind": Categorical(choices=("linear", "plateau"), when=WITH),
        "curriculum.pacing.patience_share": Float(low=0.01, high=0.1, when={"curriculum.pacing.kind": "plateau"}),
    }
)
Values = Callable[[dict[str, Any]], Sequence[float]]


def searched(
    num_trials: int, values: Values, *, space: Space = SPACE, directions: Sequence[Direction] = (Direction.MINIMIZE,)
) -> optuna.Study:
    """A study of random trials with these values, and a little noise."""
    rng = random.Random(0)
    study = optuna.create_study(directions=to_directions(directions), sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(num_trials):
        trial = study.ask()
        params = space.define(functools.partial(suggest, trial))
        study.tell(trial, [value + rng.gauss(0, 0.1) for value in values(params)])
    return study


def by_clusters(params: dict[str, Any]) -> list[float]:
    """Only the clusters matter, where there are any."""
    return [0.2 * params.get("curriculum.num_clusters", 10)]


def by_order(params: dict[str, Any]) -> list[float]:
    return [2.0 * (params["curriculum.order.kind"] == "random")]


def test_the_parameter_that_matters_is_first_and_shares_sum_to_one() -> None:
    everyone, curricula = importances(searched(60, by_order), SPACE, ["fd"])
    for table in (everyone, curricula):
        shares = table.shares["fd"]
        assert next(iter(shares)) == "curriculum.order.kind"
        assert shares["curriculum.order.kind"] > 0.7
        assert sum(shares.values()) == pytest.approx(1)


def test_parameters_of_the_curriculum_are_weighed_over_the_trials_that_have_one() -> None:
    study = searched(90, by_clusters)
    everyone, curricula = importances(study, SPACE, ["fd"])
    assert set(everyone.shares["fd"]) == {"training.learning_rate", "curriculum.order.kind"}
    assert everyone.left_out == (
        "curriculum.num_clusters",
        "curriculum.pacing.kind",
        "curriculum.pacing.patience_share",
    )
    with_order = [trial for trial in study.trials if trial.params["curriculum.order.kind"] != "none"]
    assert (curricula.trials, curricula.num_trials) == ("trials with a curriculum", len(with_order))
    assert set(curricula.shares["fd"]) == set(SPACE.parameters) - {"curriculum.pacing.patience_share"}
    assert next(iter(curricula.shares["fd"])) == "curriculum.num_clusters"
    assert curricula.left_out == ("curriculum.pacing.patience_share",)
    assert "only some of them have it: curriculum.pacing.patience_share." in curricula.sentence


def test_each_objective_has_its_own_whichever_way_is_better() -> None:
    def values(params: dict[str, Any]) -> list[float]:
        return by_order(params) + [-v for v in by_clusters(params)]

    study = searched(90, values, directions=tuple(Direction))
    _, curricula = importances(study, SPACE, ["fd", "speed"])
    assert [next(iter(shares)) for shares in curricula.shares.values()] == [
        "curriculum.order.kind",
        "curriculum.num_clusters",
    ]


def test_a_parameter_counts_over_the_scale_that_it_is_searched_on() -> None:
    space = Space(
        parameters={"a": Float(low=1e-6, high=1.0, log=True), "b": Float(low=0.0, high=1.0), "c": Int(low=0, high=9)}
    )
    study = searched(80, lambda params: [2.0 * (params["a"] > 1e-3) + params["b"]], space=space)
    (table,) = importances(study, space, ["fd"])
    # Half of the trials lie above 1e-3; on a linear scale nearly all of the range would, and `a` would seem idle.
    assert next(iter(table.shares["fd"])) == "a"
    assert table.shares["fd"]["a"] > 0.6


def test_few_trials_get_a_sentence_and_no_numbers() -> None:
    everyone, curricula = importances(searched(15, by_order), SPACE, ["fd"])
    assert everyone.shares == {} == curricula.shares
    assert everyone.sentence == (
        "too few complete trials (15, stopped ones not counted) to tell; 16 would do (6 for each parameter that "
        "varies, and 16 at least)."
    )
    assert "24 would do" in curricula.sentence  # four parameters
    everyone, curricula = importances(searched(20, by_order), SPACE, ["fd"])
    assert everyone.shares
    assert not curricula.shares


def test_trials_that_were_stopped_or_failed_do_not_count() -> None:
    study = searched(15, by_order)
    for state in (TrialState.PRUNED, TrialState.FAIL):
        trial = study.ask()
        SPACE.define(functools.partial(suggest, trial))
        trial.report(1.0, 10)
        study.tell(trial, state=state)
    everyone, _ = importances(study, SPACE, ["fd"])
    assert everyone.num_trials == 15


def test_the_same_trials_give_the_same_numbers() -> None:
    first, again = (importances(searched(40, by_order), SPACE, ["fd"]) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("choices", [("none",), ("easy_to_hard",)])
def test_where_nothing_or_everything_is_a_curriculum_there_is_one_table(choices: tuple[str, ...]) -> None:
    space = Space(
        parameters={
            "training.learning_rate": Float(low=1e-3, high=1e-2),
            "training.ema": Float(low=0.1, high=0.2),
            "curriculum.order.kind": Categorical(choices=choices),
        }
    )
    (table,) = importances(searched(30, lambda p: [p["training.ema"] * 9], space=space), space, ["fd"])
    assert set(table.shares["fd"]) == {"training.learning_rate", "training.ema"}  # a constant has no importance


def test_there_is_nothing_to_weigh_with_one_parameter_or_with_equal_values() -> None:
    one = Space(parameters={"training.learning_rate": Float(low=1e-3, high=1e-2)})
    (table,) = importances(searched(30, lambda p: [1.0], space=one), one, ["fd"])
    assert table.shares == {}
    assert "fewer than two parameters" in table.sentence
    study = searched(0, by_order)
    for source in searched(40, by_order).trials:
        study.add_trial(optuna.trial.create_trial(value=1.0, params=source.params, distributions=source.distributions))
    everyone, _ = importances(study, SPACE, ["fd"])
    assert set(everyone.shares["fd"].values()) == {0.0}


def test_a_study_without_space_or_trials_says_nothing() -> None:
    assert importances(searched(0, by_order), SPACE, ["fd"]) == []
    assert importances(searched(5, lambda params: [1.0], space=Space()), Space(), ["fd"]) == []
    assert Importances(trials="all trials", num_trials=3).sentence == "3 complete trials."
