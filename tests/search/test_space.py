"""The search space: conditions, checks, enumeration."""

from collections.abc import Callable

import pytest

from curriculum_search.search.space import Categorical, Distribution, Float, Int, Space

PACING = Categorical(choices=("linear", "plateau"))
SPACE = Space(
    parameters={
        "patience": Float(low=0.01, high=0.1, log=True, when={"pacing": "plateau"}),
        "pacing": PACING,
        "clusters": Int(low=2, high=20, step=3),
    }
)


def test_parents_come_before_the_parameters_that_depend_on_them() -> None:
    assert SPACE.order.index("pacing") < SPACE.order.index("patience")


def test_only_active_parameters_are_asked_for() -> None:
    asked: list[str] = []

    def suggest(path: str, distribution: Distribution) -> object:
        asked.append(path)
        return {"pacing": "linear", "clusters": 5}[path]

    assert SPACE.define(suggest) == {"pacing": "linear", "clusters": 5}
    assert "patience" not in asked


def test_what_a_parameter_depends_on_is_added_where_it_is_not_given() -> None:
    assert SPACE.with_conditions({"patience": 0.05}) == {"patience": 0.05, "pacing": "plateau"}
    assert SPACE.with_conditions({"clusters": 2}) == {"clusters": 2}


def test_grid_holds_each_configuration_once_and_respects_conditions() -> None:
    grid = list(SPACE.grid(4))
    assert len(grid) == 7 * (1 + 4)
    assert len({str(sorted(params.items())) for params in grid}) == len(grid)
    for params in grid:
        SPACE.check(params)


def test_a_condition_may_list_values_and_chain() -> None:
    space = Space(
        parameters={
            "a": Int(low=1, high=3),
            "b": Categorical(choices=(True, False), when={"a": [1, 2]}),
            "c": Float(low=0.0, high=1.0, when={"b": True}),
        }
    )
    assert sorted(map(len, space.grid(1))) == [1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"a": Int(low=1, high=2, when={"b": 1})}, r"space\.a\.when: b is not a parameter of the space"),
        (
            {"a": Int(low=1, high=2, when={"pacing": "exponential"}), "pacing": PACING},
            r"space\.a\.when: pacing is never 'exponential'; it is one of 'linear', 'plateau'",
        ),
        (
            {"a": Int(low=1, high=2, when={"lr": 0.1}), "lr": Float(low=0.1, high=1.0)},
            r"space\.a\.when: lr must be an int or a categorical",
        ),
        ({"a": Int(low=1, high=2, when={"pacing": []}), "pacing": PACING}, r"space\.a\.when: pacing must have"),
        (
            {"a": Int(low=1, high=2, when={"b": 1}), "b": Int(low=1, high=2, when={"a": 1})},
            "conditions .* of a, b wait for each other in a circle",
        ),
    ],
)
def test_a_condition_that_cannot_hold_is_named(parameters: dict[str, Distribution], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(parameters=parameters)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Categorical(choices=()), "choices must hold at least one value"),
        (lambda: Categorical(choices=("a", "b", "a")), "choices must differ, and hold 'a' twice"),
        (lambda: Categorical(choices=(1, True)), "choices must differ"),
        (lambda: Float(low=1.0, high=0.5), "low must be at most high and both finite, not 1.0 and 0.5"),
        (lambda: Float(low=0.0, high=0.5, log=True), "low must be above 0 where log is true, not 0.0"),
        (lambda: Int(low=1, high=10, step=4), "step must be positive and divide high - low = 9, not 4"),
        (lambda: Int(low=1, high=9, step=2, log=True), "step must be 1 where log is true, not 2"),
    ],
)
def test_a_distribution_without_values_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pacing": "linear", "clusters": 4}, "clusters must be a whole number from 2 to 20 in steps of 3, not 4"),
        ({"pacing": "linear", "clusters": 2, "size": 1}, "size is not a parameter of the space"),
        ({"pacing": "linear", "clusters": 2, "patience": 0.05}, "patience exists only where pacing is 'plateau'"),
        ({"pacing": "plateau", "clusters": 2}, "patience must be given"),
    ],
)
def test_a_configuration_outside_the_space_is_named(params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.check(params)


def test_lists_and_mappings_are_choices_too() -> None:
    multipliers = Categorical(choices=((1, 2), (1, 2, 2), {"kind": "linear"}))
    assert multipliers.contains([1, 2])
    assert not multipliers.contains([1])
    assert Space(parameters={"a": multipliers}).fingerprint() == Space(parameters={"a": multipliers}).fingerprint()
