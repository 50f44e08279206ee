"""The validation loss on a fixed bank: always the same images, noise levels and noise."""

import numpy as np
import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.data import ImageSet
from curriculum_search.diffusion import Network, Process
from curriculum_search.evaluation.generation import sample_generator
from curriculum_search.models.encoders import PIXELS, Encoder


class FixedBank:
    """`num_images` images, each with one noise of its own, at `num_levels` noise levels.

    The same images and noise at every level, so that the losses of neighbouring levels can be compared, and the same at
    every call, so that a change of the loss is a change of the network.

    Args:
        image_set: what the images are chosen from, at random, without replacement.
        process: the noise process that the network is trained with.
        num_images: images, at most as many as the set has.
        num_levels: noise levels, the midpoints of equal intervals of the noise quantile q.
        seed: of the choice and of the noise.
        device: where the network is.
        batch_size: rows that go through the network together.
        encoder: what the network sees of the images.

    Attributes:
        q: float64 [num_levels], increasing, from the cleanest level to the noisiest.

    Raises:
        ValueError: the set has fewer images.
    """

    def __init__(
        self,
        image_set: ImageSet,
        process: Process,
        num_images: int,
        num_levels: int,
        seed: int,
        device: torch.device,
        batch_size: int = 256,
        encoder: Encoder = PIXELS,
    ) -> None:
        if not 1 <= num_images <= len(image_set):
            raise ValueError(f"num_images must be in 1..{len(image_set)} (the images there are), not {num_images}")
        chosen = np.sort(np.random.default_rng(seed).choice(len(image_set), num_images, replace=False))
        images, condition = image_set.read(chosen)
        self.q = torch.from_numpy((np.arange(num_levels) + 0.5) / num_levels)
        self._process = process
        generators = [sample_generator(seed, i) for i in range(num_images)]

        def draw() -> Tensor:
            return torch.stack([torch.randn(encoder.shape_of(image_set), generator=g) for g in generators]).to(device)

        codec = encoder.load(device)
        self._noise = draw()
        self._images = codec.encode(images.to(device), draw() if codec.draws else None)
        self._condition = condition.to(device)
        self._device = device
        self._batch_size = batch_size

    @torch.no_grad()
    def losses(self, network: Network) -> Tensor:
        """The mean unweighted loss at each level: float64 [num_levels] on the CPU, the same on every worker.

        Rows are split over the workers; every worker must call it, and runs the network as often as the others, as a
        sharded one needs.  Every row is computed in the same batch whatever the number of workers, and the sum adds
        nothing but zeros to it, so the result does not depend on that number.
        """
        num_images = len(self._images)
        num_rows = num_images * len(self.q)
        losses = torch.zeros(num_rows, dtype=torch.float64, device=self._device)
        levels = self.q.to(self._device, torch.float32)
        starts = range(0, num_rows, self._batch_size)
        for turn in range(0, len(starts), distributed.world_size()):
            number = turn + distributed.rank()
            start = starts[min(number, len(starts) - 1)]
            rows = torch.arange(start, min(start + self._batch_size, num_rows), device=self._device)
            level, image = rows // num_images, rows % num_images
            values = self._process.losses(
                network, self._images[image], levels[level], self._noise[image], self._condition[image]
            )
            if number < len(starts):
                losses[rows] = values.to(torch.float64)
        return distributed.all_reduce_sum(losses).view(len(self.q), num_images).mean(1).cpu()
