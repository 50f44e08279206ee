"""A tensor in pieces is the tensor, wherever it was cut."""

from typing import Any

import pytest
import torch

from curriculum_search.training.pieces import Pieces, merged, whole

WHOLE = torch.arange(22.0).reshape(11, 2)


@pytest.mark.parametrize("sizes", [[11], [6, 5], [3, 3, 3, 2], [4, 4, 3, 0], [0, 11]])
def test_any_rows_of_it_are_those_of_the_whole(sizes: list[int]) -> None:
    pieces = Pieces(torch.split(WHOLE, sizes))
    assert torch.equal(pieces.whole(), WHOLE)
    for start in range(12):
        for stop in range(start, 14):
            assert torch.equal(pieces.rows(start, stop), WHOLE[start:stop])


def test_rows_are_copies() -> None:
    pieces = Pieces([torch.zeros(3)])
    pieces.rows(0, 3).add_(1.0)
    pieces.whole().add_(1.0)
    assert pieces.tensors[0].tolist() == [0.0, 0.0, 0.0]


def test_a_state_is_what_all_have_and_what_each_has_alone() -> None:
    common: dict[str, Any] = {"images": 80, "optimizer": {"state": {0: {"step": 3}}, "groups": [{"lr": 0.1}]}}
    halves = torch.split(WHOLE, [6, 5])
    parts = [{"network": {"w": rows}, "optimizer": {"state": {0: {"avg": rows}}}} for rows in halves]
    state = whole(merged(common, parts), "cpu")
    assert torch.equal(state["network"]["w"], WHOLE)
    assert torch.equal(state["optimizer"]["state"][0].pop("avg"), WHOLE)
    assert state["images"] == 80
    assert state["optimizer"] == {"state": {0: {"step": 3}}, "groups": [{"lr": 0.1}]}
    assert common["optimizer"]["state"] == {0: {"step": 3}}
