"""The order of images is a pure function of seed and position."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum_search.data import DataOrder, rank_slice


@given(num_images=st.integers(1, 50), seed=st.integers(0, 2**40), start=st.integers(0, 500), count=st.integers(0, 200))
def test_any_stretch_is_the_same_however_it_is_reached(num_images: int, seed: int, start: int, count: int) -> None:
    whole = DataOrder(num_images, seed).indices(0, start + count)
    resumed = DataOrder(num_images, seed)
    assert np.array_equal(resumed.indices(start, count), whole[start:])
    assert np.array_equal(resumed.indices(0, start), whole[:start])
    assert whole.dtype == np.int64


@given(num_images=st.integers(1, 50), seed=st.integers(0, 2**40), epoch=st.integers(0, 20))
def test_every_epoch_shows_every_image_once(num_images: int, seed: int, epoch: int) -> None:
    shown = DataOrder(num_images, seed).indices(epoch * num_images, num_images)
    assert sorted(shown) == list(range(num_images))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {DataOrder(100, seed).indices(epoch * 100, 100).tobytes() for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_the_order_does_not_change_from_one_release_to_the_next() -> None:
    assert DataOrder(10, 3).indices(5, 12).tolist() == [5, 6, 3, 8, 2, 0, 6, 2, 1, 3, 7, 4]


def test_an_image_is_as_likely_in_one_place_of_an_epoch_as_in_another() -> None:
    order = DataOrder(8, 0)
    places = np.stack([order.indices(8 * epoch, 8) for epoch in range(4000)])
    counts = np.stack([np.bincount(places[:, i], minlength=8) for i in range(8)])
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_workers_slices_make_up_the_global_batch(world_size: int) -> None:
    batch = np.arange(12)
    assert np.concatenate([batch[rank_slice(12, r, world_size)] for r in range(world_size)]).tolist() == batch.tolist()


def test_a_batch_that_cannot_be_shared_equally_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size 10 must be a multiple of the number of workers, 4"):
        rank_slice(10, 0, 4)
    with pytest.raises(ValueError, match="num_images must be at least 1, not 0"):
        DataOrder(0, 0)


@given(num_images=st.integers(1, 50), start=st.integers(0, 500), count=st.integers(0, 200))
def test_draws_belong_to_positions_and_not_to_the_way_there(num_images: int, start: int, count: int) -> None:
    whole = DataOrder(num_images, 1).draws(0, start + count)
    assert np.array_equal(DataOrder(num_images, 1).draws(start, count), whole[start:])
    assert whole.dtype == np.uint64
    assert len(set(whole.tolist())) == len(whole)
    assert count == 0 or not np.array_equal(DataOrder(num_images, 2).draws(start, count), whole[start:])
