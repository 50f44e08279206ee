from typing import Any

import numpy as np
import pytest

from curriculum_search.curriculum import EasyToHard, GivenOrder, HardToEasy, MeasuredOrder, Order, RandomOrder
from curriculum_search.testing import check_order

EDGES = np.linspace(0.0, 1.0, 6)


@pytest.mark.parametrize("kind", sorted(Order.kinds()))
def test_every_kind_passes_the_conformance_check(kind: str, difficulty_path: str) -> None:
    fields: dict[str, Any] = {"measured": {"path": difficulty_path}, "given": {"first_to_last": [1, 0]}}
    check_order(Order.from_dict({"kind": kind, **fields.get(kind, {})}))


def test_a_given_order_is_that_of_so_many_clusters() -> None:
    given = GivenOrder(first_to_last=(2, 0, 1, 4, 3))
    assert given.permutation(EDGES).tolist() == [2, 0, 1, 4, 3]
    with pytest.raises(ValueError, match=r"num_clusters must be 5, as order\.first_to_last has them, not 2"):
        given.permutation(EDGES[:3])
    with pytest.raises(ValueError, match=r"first_to_last must be each of 0\.\.1 once, not \[1, 2\]"):
        GivenOrder(first_to_last=(1, 2))


def test_easy_to_hard_unlocks_the_noisiest_first_and_hard_to_easy_the_cleanest() -> None:
    assert EasyToHard().permutation(EDGES).tolist() == [4, 3, 2, 1, 0]
    assert HardToEasy().permutation(EDGES).tolist() == [0, 1, 2, 3, 4]


def test_a_random_order_belongs_to_its_seed() -> None:
    orders = {tuple(RandomOrder(seed=seed).permutation(EDGES)) for seed in range(20)}
    assert len(orders) > 15
    assert tuple(RandomOrder(seed=3).permutation(EDGES)) == tuple(RandomOrder(seed=3).permutation(EDGES))


def test_a_measured_order_unlocks_the_easiest_first_and_of_equals_the_noisier(difficulty_path: str) -> None:
    # Difficulties of the fifths, up to scale: 2 2 5 1 1.
    assert MeasuredOrder(path=difficulty_path).permutation(EDGES).tolist() == [4, 3, 1, 0, 2]


def test_a_negative_seed_is_an_error() -> None:
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        RandomOrder(seed=-1)
