"""The order in which images are shown: a pure function of a seed and a position."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class DataOrder:
    """An endless stream of shuffled epochs over `num_images` images.

    The image at position p depends on (seed, p) alone, so all trials with one seed see the same images in the same
    order, a resumed run goes on exactly, and each of several workers takes its slice of every global batch.  The
    permutations are sorted raw output of PCG64, whose stream NumPy guarantees, and not `Generator.permutation`, whose
    result may differ between NumPy versions.
    """

    def __init__(self, num_images: int, seed: int) -> None:
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1, not {num_images}")
        self._num_images = num_images
        self._seed = seed
        self._epochs: dict[int, NDArray[np.int64]] = {}

    def indices(self, start: int, count: int) -> NDArray[np.int64]:
        """The images at positions start .. start + count - 1, as int64 [count]."""
        parts = [self._epoch(epoch)[inside] for epoch, inside in self._parts(start, count)]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def draws(self, start: int, count: int) -> NDArray[np.uint64]:
        """A random number for each of these positions, uint64 [count], which belongs to (seed, position) alone."""
        parts = [_raw([self._seed, epoch, 1], inside) for epoch, inside in self._parts(start, count)]
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)

    def _parts(self, start: int, count: int) -> Iterator[tuple[int, slice]]:
        """The epochs that positions lie in, and their places there."""
        position, end = start, start + count
        while position < end:
            epoch, offset = divmod(position, self._num_images)
            inside = slice(offset, min(offset + end - position, self._num_images))
            yield epoch, inside
            position += inside.stop - inside.start

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        known = self._epochs  # replaced, never changed, so that another thread may read it meanwhile
        if epoch not in known:
            keys = _raw([self._seed, epoch], slice(0, self._num_images))
            self._epochs = known = {
                **{e: order for e, order in known.items() if e == epoch - 1},
                epoch: np.argsort(keys, kind="stable"),
            }
        return known[epoch]


def _raw(seeds: list[int], places: slice) -> NDArray[np.uint64]:
    """The raw numbers at some places of the stream that belongs to some seeds, uint64 [places]."""
    stream = np.random.PCG64(np.random.SeedSequence(seeds)).advance(places.start)
    raw: NDArray[np.uint64] = stream.random_raw(places.stop - places.start)
    return raw


def rank_slice(batch_size: int, rank: int, world_size: int) -> slice:
    """The part of every global batch that one of `world_size` workers trains on.

    Raises:
        ValueError: the batch cannot be shared equally.
    """
    if batch_size % world_size:
        raise ValueError(f"batch_size {batch_size} must be a multiple of the number of workers, {world_size}")
    share = batch_size // world_size
    return slice(rank * share, (rank + 1) * share)
