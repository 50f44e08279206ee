"""The order in which images are shown: a pure function of a seed and a position."""

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
        parts = []
        position, end = start, start + count
        while position < end:
            epoch, offset = divmod(position, self._num_images)
            part = self._epoch(epoch)[offset : offset + end - position]
            parts.append(part)
            position += len(part)
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        known = self._epochs  # replaced, never changed, so that another thread may read it meanwhile
        if epoch not in known:
            keys = np.random.PCG64(np.random.SeedSequence([self._seed, epoch])).random_raw(self._num_images)
            self._epochs = known = {
                **{e: order for e, order in known.items() if e == epoch - 1},
                epoch: np.argsort(keys, kind="stable"),
            }
        return known[epoch]


def rank_slice(batch_size: int, rank: int, world_size: int) -> slice:
    """The part of every global batch that one of `world_size` workers trains on.

    Raises:
        ValueError: the batch cannot be shared equally.
    """
    if batch_size % world_size:
        raise ValueError(f"batch_size {batch_size} must be a multiple of the number of workers, {world_size}")
    share = batch_size // world_size
    return slice(rank * share, (rank + 1) * share)
