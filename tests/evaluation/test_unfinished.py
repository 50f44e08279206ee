"""What an evaluation hands to whoever keeps it, and what it makes of what was kept."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from curriculum_search.diffusion import Network
from curriculum_search.evaluation.evaluation import EvaluationRun
from curriculum_search.evaluation.unfinished import State


class Keeps:
    """Keeps everything in memory, under what it is of."""

    def __init__(self) -> None:
        self.kept: dict[str, list[dict[str, Any]]] = {}
        self.together: list[bool] = []

    def find(self, what: str) -> State | None:
        return self.kept[what][-1] if what in self.kept else None

    def after_block(self, what: str, collected: Callable[[], State], *, together: bool) -> None:
        self.kept.setdefault(what, []).append(copy.deepcopy(dict(collected())))
        self.together.append(together)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_an_evaluation_goes_on_after_the_blocks_that_were_kept_to_the_same_values(
    run: EvaluationRun, network: Network, blocks: int
) -> None:
    keeper = Keeps()
    expected = run.metrics(network, final=True, keeper=keeper)
    (states,) = keeper.kept.values()
    assert [state["blocks"] for state in states] == [1, 2, 3, 4]
    assert keeper.together == [True] * 4
    del states[blocks:]
    assert run.metrics(network, final=True, keeper=keeper) == expected
    assert [state["blocks"] for state in states] == [1, 2, 3, 4]


def test_other_samples_and_other_needs_are_not_taken_for_what_was_kept(run: EvaluationRun, network: Network) -> None:
    keeper = Keeps()
    run.metrics(network, final=True, keeper=keeper)
    run.metrics(network, final=False, keeper=keeper)
    run.metrics(network, final=True, block=1, keeper=keeper)
    assert len(keeper.kept) == 3
