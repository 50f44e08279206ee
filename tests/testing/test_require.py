"""What all checks say of a part: which it is, and that its own configuration brings it back."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
from support.kinds import member

from curriculum_search.curriculum import FixedPacing, Order
from curriculum_search.testing import check_order, check_pacing


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
