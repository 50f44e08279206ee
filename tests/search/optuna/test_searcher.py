"""Optuna, asked and told: states, conditions, repetitions, restarts."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from support.spaces import SAMPLERS, SPACE

from curriculum_search.direction import Direction
from curriculum_search.search.optuna.samplers import (
    NSGAII,
    TPE,
    AnyOptuna,
    Grid,
    Random,
    SearchSampler,
)
from curriculum_search.search.optuna.searcher import Searcher
from curriculum_search.search.space import Categorical, Int, Space

SMALL = Space(parameters={"a": Int(low=0, high=3), "b": Categorical(choices=("x", "y"), when={"a": 3})})


def text(params: dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)


def searcher(folder: Path, *, space: Space = SPACE, sampler: SearchSampler | None = None, **options: Any) -> Searcher:
    arguments: dict[str, Any] = {"name": "study", "identity": text, **options}
    return Searcher(space, sampler or TPE(), path=folder / "study.journal", **arguments)


def objective(params: dict[str, Any]) -> float:
    distance = (math.log10(params["lr"]) + 3) ** 2
    return float(
        distance + {"easy": 0.0, "hard": 1.0, "none": 0.5}[params["order"]] + 0.02 * params.get("clusters", 10)
    )


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.to_dict()["kind"])
def test_every_sampler_proposes_configurations_of_the_space(tmp_path: Path, sampler: SearchSampler) -> None:
    search = searcher(tmp_path, sampler=sampler)
    for _ in range(12):
        asked = search.ask()
        assert asked is not None
        SPACE.check(asked[1])
        search.tell_complete(asked[0], objective(asked[1]))
    assert len({text(params) for _, params in search.handed_out()}) == 12


def test_a_sampler_that_knows_when_the_space_is_exhausted_comes_to_its_end(tmp_path: Path) -> None:
    search = searcher(tmp_path, space=SMALL, sampler=AnyOptuna(name="BruteForceSampler"))
    seen = []
    while asked := search.ask():
        seen.append(text(asked[1]))
        search.tell_complete(asked[0], 1.0)
    assert sorted(seen) == sorted(text(params) for params in SMALL.grid(1))


def test_tpe_finds_what_random_search_does_not(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    for _ in range(60):
        asked = search.ask()
        assert asked is not None
        search.tell_complete(asked[0], objective(asked[1]))
    values = [trial.values[0] for trial in search.study.trials]
    assert sum(values[40:]) / 20 < 0.5 * sum(values[:10]) / 10


def test_trials_end_in_optunas_own_terms_and_keep_their_intermediate_values(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    numbers = [asked[0] for asked in (search.ask() for _ in range(4)) if asked]
    search.report(numbers[0], 100, 3.0)
    search.tell_complete(numbers[0], 2.0)
    search.report(numbers[1], 100, 4.0)
    search.tell_pruned(numbers[1], {100: 4.0, 200: 3.5})
    search.tell_fail(numbers[2], "out of memory")
    search.tell_complete(numbers[3], math.nan)

    study = optuna.load_study(study_name="study", storage=search.study._storage)
    complete, pruned, failed, diverged = study.trials
    assert (complete.state, complete.value, complete.intermediate_values) == (TrialState.COMPLETE, 2.0, {100: 3.0})
    assert (pruned.state, pruned.intermediate_values) == (TrialState.PRUNED, {100: 4.0, 200: 3.5})
    assert (failed.state, failed.user_attrs["reason"]) == (TrialState.FAIL, "out of memory")
    assert diverged.state == TrialState.FAIL
    assert search.running() == []


def test_a_restarted_search_knows_what_ended_and_hands_back_what_was_running(tmp_path: Path) -> None:
    first = searcher(tmp_path)
    asked = [a for a in (first.ask() for _ in range(5)) if a]
    for number, params in asked[:3]:
        first.tell_complete(number, objective(params))
    with (tmp_path / "study.journal").open("a") as file:
        file.write('{"op_code": 6, "trial_')  # the driver was killed in the middle of a line

    second = searcher(tmp_path)
    assert second.running() == asked[3:]
    assert second.handed_out() == asked
    for number, params in second.running():
        second.tell_complete(number, objective(params))
    new = second.ask()
    assert new is not None
    assert new[0] == 5
    assert text(new[1]) not in {text(params) for _, params in asked}


def test_a_trial_whose_sampling_was_interrupted_is_completed(tmp_path: Path) -> None:
    first = searcher(tmp_path)
    first.study.ask().suggest_categorical("order", ["easy", "hard", "none"])
    (number, params), *others = searcher(tmp_path).running()
    assert (number, others) == (0, [])
    SPACE.check(params)


def test_a_trial_whose_parameters_the_journal_has_lost_has_those_of_the_run_that_has_begun(tmp_path: Path) -> None:
    first = searcher(tmp_path)
    asked = [first.ask() for _ in range(3)]
    assert all(asked)
    known, last = [trial[1] for trial in asked[:2] if trial], asked[2]
    assert last is not None
    journal = tmp_path / "study.journal"
    before = journal.read_text()
    while (lines := journal.read_text().splitlines(keepends=True)) and "param_name" in lines[-1]:
        journal.write_text("".join(lines[:-1]))
    assert len(journal.read_text()) < len(before)
    again = searcher(tmp_path, begun=lambda: [*known, last[1]])
    assert again.running()[-1] == last
    assert searcher(tmp_path).running()[-1] == last  # for the journal has them again


def test_the_same_training_is_never_handed_out_twice(tmp_path: Path) -> None:
    search = searcher(tmp_path, identity=lambda params: params["order"])
    orders = [asked[1]["order"] for asked in (search.ask(), search.ask(), search.ask()) if asked]
    assert sorted(orders) == ["easy", "hard", "none"]
    assert search.ask() is None
    repeated = [trial for trial in search.study.trials if trial.state == TrialState.FAIL]
    assert all(trial.user_attrs["reason"].startswith("the same as trial") for trial in repeated)
    assert len(search.handed_out()) == 3


@pytest.mark.parametrize("sampler", [Grid(), TPE(), Random()], ids=["grid", "tpe", "random"])
def test_a_finite_space_is_tried_once_each_and_then_exhausted(tmp_path: Path, sampler: SearchSampler) -> None:
    search = searcher(tmp_path, space=SMALL, sampler=sampler)
    seen = []
    while asked := search.ask():
        seen.append(text(asked[1]))
        search.tell_complete(asked[0], 1.0)
    assert sorted(seen) == sorted(text(params) for params in SMALL.grid(1))


def test_what_cannot_be_trained_is_told_as_failed(tmp_path: Path) -> None:
    def identity(params: dict[str, Any]) -> str:
        if params["a"] == 1:
            raise ValueError("a must not be 1")
        return text(params)

    search = searcher(tmp_path, space=SMALL, identity=identity)
    assert search.enqueue({"a": 1})
    asked = search.ask()
    assert asked is not None
    assert asked[1]["a"] != 1
    assert search.study.trials[0].user_attrs["reason"] == "cannot be trained: a must not be 1"


def test_what_is_enqueued_comes_first_and_only_once(tmp_path: Path) -> None:
    first = searcher(tmp_path)
    published = {"order": "easy", "lr": 1e-3, "pacing": "linear", "clusters": 20}
    assert first.enqueue(published, source="published")
    assert first.enqueue({"order": "hard"})
    assert not first.enqueue(published)
    assert not searcher(tmp_path).enqueue(published)
    one, two = first.ask(), first.ask()
    assert one is not None
    assert two is not None
    assert one[1] == published
    assert two[1]["order"] == "hard"
    with pytest.raises(ValueError, match="clusters must be a whole number from 2 to 20"):
        first.enqueue({"clusters": 21})


def test_fixed_values_are_held_until_nothing_new_has_them(tmp_path: Path) -> None:
    search = searcher(tmp_path, space=SMALL)
    asked = [a for a in (search.ask({"a": 3}) for _ in range(3)) if a]
    assert [params["a"] for _, params in asked[:2]] == [3, 3]
    assert asked[2][1]["a"] != 3


def test_where_nothing_new_has_the_first_values_the_next_are_held(tmp_path: Path) -> None:
    search = searcher(tmp_path, space=SMALL)
    asked = [a for a in (search.ask({"a": 0}, {"a": 3}) for _ in range(3)) if a]
    assert [params["a"] for _, params in asked] == [0, 3, 3]


def test_results_of_another_study_are_learned_but_not_trained(tmp_path: Path) -> None:
    search = searcher(tmp_path, space=SMALL)
    assert search.learn({"a": 0}, 0.5, source="earlier study")
    assert not search.learn({"a": 0}, 0.5, source="earlier study")
    assert search.handed_out() == []
    rest = []
    while asked := search.ask():
        rest.append(asked[1])
    assert {"a": 0} not in rest
    assert len(rest) == 4
    assert searcher(tmp_path, space=SMALL).handed_out() == search.handed_out()


def test_another_space_or_objective_under_the_same_name_is_refused(tmp_path: Path) -> None:
    searcher(tmp_path)
    with pytest.raises(ValueError, match="study 'study' exists with another space"):
        searcher(tmp_path, space=SMALL)
    with pytest.raises(ValueError, match="study 'study' exists with another direction"):
        searcher(tmp_path, directions=(Direction.MAXIMIZE,))
    with pytest.raises(ValueError, match="study 'study' exists with another direction"):
        searcher(tmp_path, directions=(Direction.MINIMIZE,) * 2)


@pytest.mark.parametrize("sampler", [TPE(), NSGAII(population_size=4)], ids=["tpe", "nsgaii"])
def test_several_objectives(tmp_path: Path, sampler: SearchSampler) -> None:
    search = searcher(tmp_path, sampler=sampler, directions=tuple(Direction))
    for number in range(16):
        asked = search.ask()
        assert asked is not None
        search.report(asked[0], 100, 1.0)
        if number % 4 == 3:
            search.tell_pruned(asked[0], {100: 1.0})
        else:
            search.tell_complete(asked[0], (objective(asked[1]), asked[1]["lr"]))
    assert search.study.best_trials
    assert sum(trial.state == TrialState.PRUNED for trial in search.study.trials) == 4


def test_choices_may_be_lists(tmp_path: Path) -> None:
    space = Space(parameters={"widths": Categorical(choices=((1, 2), (1, 2, 2)))})
    first = searcher(tmp_path, space=space)
    asked = first.ask()
    assert asked is not None
    assert asked[1]["widths"] in ((1, 2), (1, 2, 2))
    assert searcher(tmp_path, space=space).running() == [asked]


def test_optunas_own_command_opens_a_study_and_leaves_it_as_it_is(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    for number in range(3):
        asked = search.ask()
        assert asked is not None
        search.report(asked[0], 100, 1.0 + number)
        search.tell_complete(asked[0], 1.0 + number) if number < 2 else search.tell_pruned(asked[0], {})
    before = (tmp_path / "study.journal").read_bytes()

    def optuna_says(*arguments: str) -> Any:
        command = [str(Path(sys.executable).with_name("optuna")), *arguments, "--format", "json"]
        storage = ["--storage", str(tmp_path / "study.journal"), "--study-name", "study"]
        return json.loads(subprocess.run([*command, *storage], check=True, capture_output=True, text=True).stdout)

    assert [trial["state"] for trial in optuna_says("trials")] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert optuna_says("best-trial")["value"] == 1.0
    assert (tmp_path / "study.journal").read_bytes() == before


def test_a_configuration_is_known_once_it_waits_runs_or_has_been_learnt(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    waiting, learnt = {"order": "none", "lr": 1e-3}, {"order": "none", "lr": 2e-3}
    other = {"order": "none", "lr": 3e-3}
    assert not search.knows(waiting)
    search.enqueue(waiting)
    search.learn(learnt, 1.0, source="elsewhere")
    for again in (search, searcher(tmp_path)):
        assert [again.knows(params) for params in (waiting, learnt, other, {"lr": 2e-3})] == [True, True, False, False]
    assert search.ask() == (0, waiting)
    assert search.knows(waiting)
