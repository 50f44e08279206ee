"""The checks of a curriculum's parts find what is wrong.

That checks pass what is right, the tests of the project's own kinds show.
"""

from collections.abc import Callable

import numpy as np
import pytest
from support.kinds import member

from curriculum_search.curriculum import (
    Accumulation,
    Decision,
    FixedPacing,
    Observation,
    Order,
    Pacing,
    Partition,
    Reason,
)
from curriculum_search.testing import check_accumulation, check_order, check_pacing, check_partition


def partition(edges: Callable[..., np.ndarray]) -> Partition:
    made: Partition = member(Partition, edges=lambda self, process, density, num_clusters: edges(num_clusters))
    return made


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (lambda n: np.linspace(0, 1, n + 2), r"needs 2 edges, not shape \(3,\)"),
        (lambda n: np.linspace(0.1, 1, n + 1), "edges must span"),
        (lambda n: np.linspace(0, 1, n + 1).astype(np.float32), "edges must be a float64 array"),
        (lambda n: np.sort(np.append([0, 0, 1], np.linspace(0, 1, n + 1)[2:-1]))[-n - 1 :], "edges must"),
        (lambda n: np.linspace(0, 1, n + 1) ** 1.01, "edges must lie between two timesteps"),
        (lambda n: np.sort(np.r_[0, 1, np.rint(np.random.rand(n - 1) * 1000) / 1000]), "became|increase strictly"),
    ],
)
def test_wrong_edges_are_found(edges: Callable[[int], np.ndarray], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_partition(partition(edges))


def test_a_partition_that_never_works_is_found() -> None:
    def nothing(num_clusters: int) -> np.ndarray:
        raise ValueError("no")

    with pytest.raises(AssertionError, match=r"no number of clusters of .* is possible"):
        check_partition(partition(nothing))


@pytest.mark.parametrize(
    ("permutation", "message"),
    [
        (lambda edges: np.zeros(len(edges) - 1, dtype=np.int64), "must name each cluster once"),
        (lambda edges: np.arange(len(edges) - 1, dtype=np.int32), "must be int64"),
        (lambda edges: np.random.permutation(len(edges) - 1), "changes from call to call"),
    ],
)
def test_wrong_orders_are_found(permutation: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_order(member(Order, permutation=lambda self, edges: permutation(edges)))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (lambda m: m, "sum to 1"),
        (lambda m: np.eye(len(m))[0], "the newest cluster must be trained"),
        (lambda m: np.full(len(m), 1 / len(m)) * (1 - 1e-3 * m) + 1e-3 * m.mean() / len(m), "only proportions"),
    ],
)
def test_wrong_shares_are_found(shares: Callable[[np.ndarray], np.ndarray], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_accumulation(member(Accumulation, shares=lambda self, masses: shares(masses)))


@pytest.mark.parametrize(
    ("fraction", "message"),
    [
        (lambda p: 1 - p, r"from stage \d+ of \d+ to"),
        (lambda p: float("nan") if p == 1 else p, "fraction is not always finite|cannot convert"),
        (lambda p: 0.52 + 1e-4 * np.sin(40 * p), "fraction falls after"),
    ],
)
def test_wrong_pacing_functions_are_found(fraction: Callable[[float], float], message: str) -> None:
    with pytest.raises((AssertionError, ValueError), match=message):
        check_pacing(member(FixedPacing, fraction=lambda self, progress: fraction(progress)))


def stage_after(seen: Observation, stage: int) -> Decision:
    return Decision(stage, Reason.SCHEDULE if stage != seen.stage else None)


@pytest.mark.parametrize(
    ("decide", "message"),
    [
        (lambda seen: Decision(1), "only stage 1 of .* at the budget's end"),
        (
            lambda seen: Decision(min(seen.stage + (seen.images_seen > 0), seen.num_stages)),
            "from stage 1 to 2 for reason None",
        ),
        (lambda seen: stage_after(seen, seen.num_stages + 1), r"from stage \d+ of \d+ to"),
        (lambda seen: Decision(seen.stage, memory={"at": np.float32(0.1)}), "not JSON serializable|cannot save"),  # type: ignore[dict-item]
    ],
)
def test_wrong_decisions_are_found(decide: Callable[[Observation], Decision], message: str) -> None:
    with pytest.raises((AssertionError, TypeError), match=message):
        check_pacing(member(Pacing, decide=lambda self, seen: decide(seen)))


def test_a_fixed_pacing_that_looks_at_more_than_its_share_of_the_budget_is_found() -> None:
    def decide(self: FixedPacing, seen: Observation) -> Decision:
        return stage_after(seen, min(1 + seen.images_seen // 20_000, seen.num_stages))

    with pytest.raises(AssertionError, match="of a larger budget differs"):
        check_pacing(member(FixedPacing, fraction=lambda self, progress: progress, decide=decide))
