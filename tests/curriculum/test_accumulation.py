import numpy as np
import pytest

from curriculum_search.curriculum import Accumulation, Cumulative, Newest, Replay
from curriculum_search.testing import check_accumulation

MASSES = np.array([1.0, 3.0, 4.0])


@pytest.mark.parametrize("kind", sorted(Accumulation.kinds()))
def test_every_kind_passes_the_conformance_check(kind: str) -> None:
    check_accumulation(Accumulation.from_dict({"kind": kind}))


def test_cumulative_trains_everything_unlocked_in_proportion() -> None:
    np.testing.assert_allclose(Cumulative().shares(MASSES), [0.125, 0.375, 0.5])


def test_newest_trains_the_newest_alone() -> None:
    assert Newest().shares(MASSES).tolist() == [0.0, 0.0, 1.0]


def test_replay_gives_earlier_clusters_their_share_in_proportion() -> None:
    np.testing.assert_allclose(Replay(share=0.2).shares(MASSES), [0.05, 0.15, 0.8])
    assert Replay(share=0.2).shares(MASSES[:1]).tolist() == [1.0]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_a_replay_share_of_nothing_or_everything_is_an_error(share: float) -> None:
    with pytest.raises(ValueError, match=r"share must be in \(0, 1\)"):
        Replay(share=share)
