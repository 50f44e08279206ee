"""Batches on the training device, prepared ahead of the loop."""

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curriculum_search.conditions import Condition
from curriculum_search.data.images import ImageSet, Indices
from curriculum_search.data.order import DataOrder

Batch = tuple[Tensor, Condition]
Values = TypeVar("Values", Tensor, Condition)
Chosen = tuple[Indices, NDArray[np.uint64] | None]
"""Images to be read, and what decides among several conditions of one image, where there may be several."""


class Prefetcher:
    """An endless iterator over one worker's batches: images as their set has them, [b, ...], and their condition.

    The k-th batch is the images of ``order`` at positions ``start + k * batch_size + own``.  Where the whole set is
    small it stays on the device as it is and is indexed there; otherwise a thread reads `depth` batches ahead and
    copies them through pinned memory, on a stream of its own.  What reading raises is raised by `next`.
    """

    def __init__(
        self,
        image_set: ImageSet,
        order: DataOrder,
        start: int,
        batch_size: int,
        own: slice,
        device: torch.device,
        *,
        depth: int = 2,
        resident_bytes: int = 0,
    ) -> None:
        """Begin at `start` images seen.

        Args:
            batch_size: of the global batch, in images.
            own: this worker's part of every global batch (see `rank_slice`).
            resident_bytes: sets that are at hand now (see `ImageSet.at_hand`) and are not larger stay on the device.
        """
        indices = _own_indices(order, start, batch_size, own, drawn=not image_set.conditions.fixed)
        self._reader: _Reader | None = None
        self._batches: Iterator[Batch]
        if image_set.num_bytes <= resident_bytes and image_set.at_hand:
            self._batches = _resident(image_set, indices, device)
        elif image_set.in_memory and device.type == "cpu":
            self._batches = (image_set.read(part, draws) for part, draws in indices)
        else:
            self._reader = _Reader(image_set, indices, device, depth)
            self._batches = self._reader.batches()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return next(self._batches)

    def close(self) -> None:
        """Stop reading ahead and wait for the thread."""
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _own_indices(order: DataOrder, start: int, batch_size: int, own: slice, *, drawn: bool) -> Iterator[Chosen]:
    while True:
        draws = order.draws(start, batch_size)[own] if drawn else None
        yield order.indices(start, batch_size)[own], draws
        start += batch_size


def _resident(image_set: ImageSet, indices: Iterator[Chosen], device: torch.device) -> Iterator[Batch]:
    conditions = image_set.conditions
    images = on_device(image_set, device)
    known = conditions.of(np.arange(len(image_set))).to(device) if conditions.fixed else None
    for part, draws in indices:
        chosen = _sent(torch.from_numpy(part), device)
        if known is not None:
            condition = known[chosen]
        else:
            assert draws is not None
            condition = _sent(conditions.drawn(part, draws), device)
        yield images.index_select(0, chosen), condition


def _sent(values: Values, device: torch.device) -> Values:
    """`values` on a device; to a GPU they are copied while the CPU goes on."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def on_device(image_set: ImageSet, device: torch.device, *, chunk_bytes: int = 2**26) -> Tensor:
    """All of a set as it is stored, [N, ...], on a device; in the host's memory there are never more than `chunk_bytes`
    of it that the set does not keep there itself."""
    first = image_set.stored(np.arange(1))
    images = torch.empty((len(image_set), *first.shape[1:]), dtype=first.dtype, device=device)
    at_once = max(1, chunk_bytes // first.nbytes)
    for start in range(0, len(image_set), at_once):
        part = np.arange(start, min(start + at_once, len(image_set)))
        images[start : start + len(part)] = image_set.stored(part)
    return images


class _Reader:
    """A thread that reads up to `depth` batches ahead of the one that is asked for."""

    def __init__(self, image_set: ImageSet, indices: Iterator[Chosen], device: torch.device, depth: int) -> None:
        self._image_set = image_set
        self._indices = indices
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._ready: queue.SimpleQueue[tuple[Batch, torch.cuda.Event | None] | BaseException] = queue.SimpleQueue()
        self._free = threading.Semaphore(depth)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
        self._thread.start()

    def batches(self) -> Iterator[Batch]:
        while not self._closed:
            item = self._ready.get()
            if isinstance(item, BaseException):
                raise item
            self._free.release()
            batch, copied = item
            if copied is not None:
                current = torch.cuda.current_stream(self._device)
                current.wait_event(copied)
                images, condition = batch
                for tensor in (images, *condition.tensors()):
                    # Made on the reader's stream: its memory must not be given away before the loop's is done.
                    tensor.record_stream(current)
            yield batch

    def close(self) -> None:
        self._closed = True
        self._free.release()
        self._thread.join()

    def _run(self) -> None:
        try:
            for part, draws in self._indices:
                self._free.acquire()
                if self._closed:
                    return
                self._ready.put(self._on_device(self._image_set.read(part, draws)))
        except BaseException as error:  # whatever it is, the loop must not wait for ever
            self._ready.put(error)

    def _on_device(self, batch: Batch) -> tuple[Batch, "torch.cuda.Event | None"]:
        if self._stream is None:
            return batch, None
        images, condition = batch
        with torch.cuda.stream(self._stream):
            images, condition = _sent(images, self._device), _sent(condition, self._device)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record(self._stream)
        return (images, condition), copied
