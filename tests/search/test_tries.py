"""Which ways with the noise levels a search compares, and what the next trial is owed to."""

from collections import Counter
from typing import Any

import pytest
from support.study import MakeSearch
from support.theatre import Theatre
from support.workplace import Workplace

from curriculum_search.search.optuna.samplers import SearchSampler
from curriculum_search.search.study import StudyFile
from curriculum_search.search.tries import ORDINARY, Tries, held_values, paths_of_levels, way_of

LR = "training.learning_rate"
ORDER = "curriculum.order.kind"
DENSITIES = "space.density.kind={kind: categorical, choices: [uniform, laplace, moving, loss_second_moment]}"
WEIGHTINGS = "space.weighting.kind={kind: categorical, choices: [none, uncertainty]}"
NO_ORDERS = (f"space.{ORDER}=null", "space.curriculum.num_clusters=null", "base.curriculum.order={kind: none}")
LAPLACE = "base.density={kind: laplace, mean: 0.5}"


def ways_tried(file: StudyFile, make_search: MakeSearch) -> Counter[str]:
    search = make_search(file)
    Theatre(search).play()
    return Counter(way_of(file, params) for _, params in search.searcher.handed_out())


@pytest.mark.parametrize(
    "algorithm", [{"kind": "tpe"}, {"kind": "random"}, {"kind": "grid", "points": 7}], ids=lambda a: a["kind"]
)
def test_each_density_each_weighting_each_order_and_ordinary_training_get_the_same_number(
    workplace: Workplace, make_search: MakeSearch, algorithm: dict[str, Any]
) -> None:
    assert SearchSampler.from_dict(algorithm)
    file = workplace.load("study.trials=15", DENSITIES, WEIGHTINGS, f"study.algorithm={algorithm}")
    tries = ways_tried(file, make_search)
    assert tries.total() == 15
    densities = ["density laplace", "density moving", "density loss_second_moment"]
    ways = [ORDINARY, "order easy_to_hard", *densities, "weighting uncertainty"]
    most = max(tries.values())
    assert all(tries[way] in (most, most - 1) for way in ways), tries


def test_a_space_of_densities_without_orders_gives_ordinary_training_its_tries_too(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    tries = ways_tried(workplace.load("study.trials=9", DENSITIES, *NO_ORDERS), make_search)
    assert sorted(tries.values()) == [2, 2, 2, 3]
    assert tries[ORDINARY]


def test_what_does_not_have_the_density_of_the_base_is_not_ordinary_training(workplace: Workplace) -> None:
    file = workplace.load(DENSITIES)
    none = {ORDER: "none", LR: 1e-3}
    assert way_of(file, none | {"density.kind": "uniform"}) == ORDINARY
    assert way_of(file, none | {"density.kind": "laplace"}) == "density laplace"
    assert way_of(file, none | {"density.kind": "laplace", "weighting.kind": "p2"}) == "density laplace, weighting p2"
    assert way_of(file, none | {"weighting.kind": "p2"}) == "weighting p2"
    assert way_of(file, none | {ORDER: "easy_to_hard", "density.kind": "laplace"}) == "order easy_to_hard"
    tries = Tries(file, [none | {"density.kind": "moving", LR: rate} for rate in (1e-3, 2e-3, 3e-3)])
    assert tries.total == 3
    assert tries.owed() == [
        {ORDER: "none", "density.kind": "uniform"},
        {ORDER: "none", "density.kind": "laplace"},
        {ORDER: "none", "density.kind": "loss_second_moment"},
        {ORDER: "easy_to_hard"},
    ]
    tries.add(none | {"density.kind": "laplace"})
    assert tries.owed()[-1] == {ORDER: "none", "density.kind": "laplace"}  # who has had the most of them comes last


def test_the_value_of_the_base_is_held_for_ordinary_training_within_a_range_too(workplace: Workplace) -> None:
    mean = "space.density.mean={kind: float, low: -1.0, high: 1.0}"
    assert held_values(workplace.load(LAPLACE, mean)) == {
        ORDINARY: [{ORDER: "none", "density.mean": 0.5}],
        "density laplace": [{ORDER: "none"}],
        "order easy_to_hard": [{ORDER: "easy_to_hard"}],
    }
    kind = "space.density.kind={kind: categorical, choices: [laplace, uniform]}"
    mean = "space.density.mean={kind: float, low: -1.0, high: 1.0, when: {density.kind: laplace}}"
    assert held_values(workplace.load(LAPLACE, kind, mean, *NO_ORDERS)) == {
        ORDINARY: [{"density.kind": "laplace", "density.mean": 0.5}],
        "density laplace": [{"density.kind": "laplace"}],
        "density uniform": [{"density.kind": "uniform"}],
    }


def test_whole_parts_of_one_kind_take_turns(workplace: Workplace) -> None:
    plain, early, late = (
        {"kind": "uniform"},
        {"kind": "beta", "a": 1.0, "b": 2.0},
        {"kind": "beta", "a": 2.0, "b": 1.0},
    )
    file = workplace.load(f"space.density={{kind: categorical, choices: [{plain}, {early}, {late}]}}")
    tries = Tries(file, [{ORDER: "easy_to_hard", "density": plain, "curriculum.num_clusters": n} for n in (2, 3)])
    assert [held["density"] for held in tries.owed()] == [plain, early, late]
    tries.add({ORDER: "none", "density": early})
    assert [held["density"] for held in tries.owed()] == [plain, late, early]


def test_what_a_density_depends_on_is_held_with_it_and_not_for_ordinary_training(workplace: Workplace) -> None:
    model = "space.model.patch_size={kind: categorical, choices: [2, 4]}"
    density = "space.density.kind={kind: categorical, choices: [uniform, speed], when: {model.patch_size: 4}}"
    held = held_values(workplace.load(model, density))
    assert held["density speed"] == [{ORDER: "none", "density.kind": "speed", "model.patch_size": 4}]
    assert held[ORDINARY] == [{ORDER: "none", "density.kind": "uniform"}]


def test_without_densities_and_weightings_only_ordinary_training_is_owed_anything(workplace: Workplace) -> None:
    file = workplace.load("space.curriculum.order.kind.choices=[easy_to_hard, hard_to_easy, none]")
    assert not paths_of_levels(file.space)
    tries = Tries(file, [{ORDER: "easy_to_hard", LR: 1e-3, "curriculum.num_clusters": 2}])
    assert tries.owed() == [{ORDER: "none"}]
    tries.add({ORDER: "none", LR: 1e-3})
    assert tries.owed() == []


@pytest.mark.parametrize(
    "overrides",
    [
        ["study.equal_tries=false"],
        [*NO_ORDERS, "space.curriculum.order={kind: categorical, choices: [{kind: none}, {kind: random}]}"],
    ],
    ids=["not asked for", "orders as whole parts"],
)
def test_nothing_is_owed_where_tries_are_not_evened(workplace: Workplace, overrides: list[str]) -> None:
    file = workplace.load(DENSITIES, *overrides)
    assert Tries(file, [{LR: rate, "density.kind": "laplace"} for rate in (1e-3, 2e-3)]).owed() == []
