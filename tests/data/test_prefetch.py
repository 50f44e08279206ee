"""Batches that are ready before the loop asks for them."""

import threading
import time

import numpy as np
import pytest
import torch
from support.conditions import labels_in

from curriculum_search.data import DataOrder, ImageSet, MemoryImages, Prefetcher, rank_slice
from curriculum_search.data.images import Bytes, Indices
from curriculum_search.data.prefetch import on_device

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
LABELS = np.arange(50) % 7


class SlowImages(ImageSet):
    """Images that have to be fetched one batch at a time, as from files."""

    def __init__(self, labels: Indices | None = LABELS, broken_after: int = 10**9) -> None:
        super().__init__(name="slow", length=50, channels=3, resolution=4, labels=labels, fingerprint="slow")
        self.num_reads = 0
        self.broken_after = broken_after

    def _read(self, indices: Indices) -> Bytes:
        self.num_reads += 1
        if self.num_reads > self.broken_after:
            raise ValueError("set: 17.png: truncated")
        return IMAGES[indices]


def threads() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("image_set", [MemoryImages("memory", IMAGES, LABELS), SlowImages()], ids=["memory", "read"])
@pytest.mark.parametrize("start", [0, 48])
@pytest.mark.parametrize("world_size", [1, 2])
def test_batches_are_the_orders_images_shared_among_the_workers(
    image_set: ImageSet, start: int, world_size: int
) -> None:
    order = DataOrder(50, seed=1)
    shares = [
        Prefetcher(image_set, order, start, 12, rank_slice(12, rank, world_size), CPU) for rank in range(world_size)
    ]
    for step in range(10):
        expected = order.indices(start + 12 * step, 12)
        batches = [next(share) for share in shares]
        images = torch.cat([images for images, _ in batches])
        assert torch.equal(images, torch.from_numpy(IMAGES[expected]))
        labels = [label for _, condition in batches for label in labels_in(condition) or []]
        assert labels == LABELS[expected].tolist()
    for share in shares:
        share.close()


def test_labels_are_none_where_there_are_none() -> None:
    for image_set in (MemoryImages("memory", IMAGES, None), SlowImages(labels=None)):
        with Prefetcher(image_set, DataOrder(50, 0), 0, 8, slice(0, 8), CPU) as batches:
            assert labels_in(next(batches)[1]) is None


def test_reading_runs_ahead_as_far_as_asked_and_no_farther() -> None:
    image_set = SlowImages()
    with Prefetcher(image_set, DataOrder(50, 0), 0, 8, slice(0, 8), CPU, depth=3) as batches:
        deadline = time.monotonic() + 20
        while image_set.num_reads < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        assert image_set.num_reads == 3
        next(batches)
        while image_set.num_reads < 4 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert image_set.num_reads == 4


def test_an_error_in_reading_reaches_the_loop_after_the_good_batches() -> None:
    with Prefetcher(SlowImages(broken_after=2), DataOrder(50, 0), 0, 8, slice(0, 8), CPU) as batches:
        next(batches)
        next(batches)
        with pytest.raises(ValueError, match=r"17\.png: truncated"):
            next(batches)


def test_closing_ends_the_thread_even_if_nothing_was_taken() -> None:
    before = threads()
    batches = Prefetcher(SlowImages(), DataOrder(50, 0), 0, 8, slice(0, 8), CPU)
    assert threads() == before + 1
    batches.close()
    batches.close()
    assert threads() == before


def test_images_in_memory_need_no_thread() -> None:
    before = threads()
    with Prefetcher(MemoryImages("memory", IMAGES, None), DataOrder(50, 0), 0, 8, slice(0, 8), CPU):
        assert threads() == before


@pytest.mark.parametrize("chunk_bytes", [1, 48 * 7, 2**26])
def test_a_set_that_goes_to_a_device_as_a_whole_goes_in_parts(chunk_bytes: int) -> None:
    slow = SlowImages()
    assert torch.equal(on_device(slow, CPU, chunk_bytes=chunk_bytes), torch.from_numpy(IMAGES))
    assert slow.num_reads == 1 + -(-50 // max(1, chunk_bytes // 48))
