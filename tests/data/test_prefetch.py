"""Batches that are ready before the loop asks for them."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support.captioned import save_bert, write_captioned_digits
from support.conditions import labels_in
from support.image_files import edm_zip

from curriculum_search.data import CaptionedFolder, DataOrder, ImageSet, MemoryImages, Prefetcher, Zip, rank_slice
from curriculum_search.data.images import Bytes, Indices
from curriculum_search.data.prefetch import on_device
from curriculum_search.text import SentenceEncoder

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


@pytest.mark.parametrize("labels", [LABELS, None])
@pytest.mark.parametrize("start", [0, 44])
def test_a_set_that_stays_on_the_device_gives_the_batches_of_reading(labels: Indices | None, start: int) -> None:
    order, own = DataOrder(50, seed=1), slice(4, 12)
    with (
        Prefetcher(SlowImages(labels), order, start, 12, own, CPU) as read,
        Prefetcher(MemoryImages("m", IMAGES, labels), order, start, 12, own, CPU, resident_bytes=IMAGES.nbytes) as kept,
    ):
        for _ in range(10):
            (images, condition), (expected, its) = next(kept), next(read)
            assert torch.equal(images, expected)
            assert labels_in(condition) == labels_in(its)


def test_captions_of_a_set_that_stays_on_the_device_are_drawn_as_in_reading(tmp_path: Path) -> None:
    source = CaptionedFolder(
        path=str(write_captioned_digits(tmp_path / "train", 20)),
        text_encoder=SentenceEncoder(path=save_bert(tmp_path / "encoder")),
        encoded_path=str(tmp_path / "encoded"),
        decoded_path=str(tmp_path / "decoded"),
    )
    image_set, order = source.load_images(), DataOrder(20, seed=1)
    image_set.stored(np.arange(20))
    with (
        Prefetcher(image_set, order, 0, 8, slice(0, 8), CPU) as read,
        Prefetcher(image_set, order, 0, 8, slice(0, 8), CPU, resident_bytes=image_set.num_bytes) as kept,
    ):
        for _ in range(8):
            (images, condition), (expected, its) = next(kept), next(read)
            assert torch.equal(images, expected)
            assert all(map(torch.equal, condition.tensors(), its.tensors()))


def test_image_files_stay_on_the_device_once_all_are_decoded_and_they_fit(tmp_path: Path) -> None:
    stored = torch.from_numpy(edm_zip(tmp_path / "set.zip", [f"{i:02d}.png" for i in range(20)]))
    image_set, order, before = Zip(path=str(tmp_path / "set.zip")).load_images(), DataOrder(20, 1), threads()

    def first(resident_bytes: int) -> tuple[bool, torch.Tensor]:
        """Whether a set is kept, and its first batch."""
        with Prefetcher(image_set, order, 0, 8, slice(0, 8), CPU, resident_bytes=resident_bytes) as batches:
            return threads() == before, next(batches)[0]

    image_set.stored(np.arange(19))
    assert not image_set.at_hand
    assert not first(image_set.num_bytes)[0]
    image_set.stored(np.arange(20))
    for resident_bytes in (image_set.num_bytes - 1, image_set.num_bytes):
        kept, images = first(resident_bytes)
        assert kept == (resident_bytes == image_set.num_bytes)
        assert torch.equal(images, stored[order.indices(0, 8)])


@pytest.mark.parametrize("chunk_bytes", [1, 48 * 7, 2**26])
def test_a_set_that_goes_to_a_device_as_a_whole_goes_in_parts(chunk_bytes: int) -> None:
    slow = SlowImages()
    assert torch.equal(on_device(slow, CPU, chunk_bytes=chunk_bytes), torch.from_numpy(IMAGES))
    assert slow.num_reads == 1 + -(-50 // max(1, chunk_bytes // 48))
