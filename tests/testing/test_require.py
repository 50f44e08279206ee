"""What all checks say of a part: which it is, and that its own configuration brings it back."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from support.kinds import member

from curriculum_search.curriculum import FixedPacing, Linear, Order, Pacing, VariedExponential
from curriculum_search.testing import check_order, check_pacing
from curriculum_search.testing._require import check_configuration, require


def test_a_kind_that_its_own_configuration_does_not_bring_back_is_found() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Unnamed(FixedPacing):
        def fraction(self, progress: float) -> float:
            return progress

    with pytest.raises(AssertionError, match="declare `kind: Literal"):
        check_pacing(Unnamed())


def test_a_check_names_the_part_that_is_wrong() -> None:
    wrong = member(Order, permutation=lambda self, edges: np.zeros(len(edges) - 1, dtype=np.int64))
    assert dataclasses.is_dataclass(type(wrong))
    with pytest.raises(AssertionError, match=r"Wrong\(kind='wrong'\), 2 clusters: must name each cluster once"):
        check_order(wrong)


def test_what_holds_passes_and_what_does_not_is_an_assertion() -> None:
    require(True, "unseen")
    with pytest.raises(AssertionError, match=r"^what is wrong$"):
        require(np.bool_(False), "what is wrong")


def test_a_kind_that_is_taken_for_another_after_its_configuration_was_read_is_found() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Forgetful(FixedPacing):
        kind: Literal["forgetful"] = "forgetful"
        share: float = 0.5

        def __post_init__(self) -> None:
            object.__setattr__(self, "share", 0.9 * self.share)

        def fraction(self, progress: float) -> float:
            return min(progress / self.share, 1.0)

    with pytest.raises(AssertionError, match="came back from its own configuration as"):
        check_configuration(Forgetful(), Pacing)


@pytest.mark.parametrize("pacing", [Linear(end_share=0.3), VariedExponential(switch_shares=(0.1, 0.3, 0.4))])
def test_a_kind_that_comes_back_as_it_was_passes(pacing: Pacing) -> None:
    check_configuration(pacing, Pacing)
