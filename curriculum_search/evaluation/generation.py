"""Generating samples whose identity does not depend on how many workers make them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.conditions import Condition
from curriculum_search.data import ImageSet
from curriculum_search.diffusion import Network, Process, Sampler, guided

MAX_SAMPLES = 2**20  # samples of one seed


def sample_generator(seed: int, index: int) -> torch.Generator:
    """The random numbers of sample `index` of evaluation `seed`: its noise, its condition, what its sampler draws.

    With seed 0 this is the generator seeded with the index itself, as in EDM's generate.py.  torch's CPU generator uses
    32 bits of its seed, so a seed has 2^20 samples and there are 4,096 seeds.
    """
    return torch.Generator().manual_seed((seed * MAX_SAMPLES + index) % 2**32)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Samples that were generated together.

    Attributes:
        first: index of the first sample.
        images: float32 [n, C, H, W], in [-1, 1] where the network is sane.
        condition: of the samples.
        finite: bool []: whether the samples, and all that the network gave on the way, are finite.  Samplers clip,
            which makes an infinite output look like an image.
    """

    first: int
    images: Tensor
    condition: Condition
    finite: Tensor


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How samples come about.

    Attributes:
        process: the noise process that the network was trained with.
        sampler: from noise to images.
        train_set: gives the images' shape, and the distribution of what they are conditioned on.
        guidance_scale: weight of classifier-free guidance; 1 is none.
        seed: see `sample_generator`.
        batch_size: samples that go through the network together, also where fewer are asked for: a float sum may come
            out differently in a batch of another size.
        device: where the network is.
    """

    process: Process
    sampler: Sampler
    train_set: ImageSet
    guidance_scale: float
    seed: int
    batch_size: int
    device: torch.device

    def words(self, samples: str) -> str:
        """What tells samples of one network from others, on this number of workers.

        Args:
            samples: which of them.
        """
        return (
            f"{samples}; {self.process}, {self.sampler}, guidance {self.guidance_scale}, seed {self.seed}, "
            f"{self.batch_size} at once, {distributed.world_size()} workers, conditions of {self.train_set.fingerprint}"
        )

    def blocks(self, network: Network, first: int, count: int, *, skipped: int = 0) -> Iterator[Block]:
        """This worker's blocks of the samples first .. first + count - 1: every world_size-th of them.

        The last block is as large as the others and may reach beyond the end.

        Args:
            network: makes them.
            first: index of the first sample.
            count: of samples, over all workers.
            skipped: blocks of this worker that are there already.
        """
        starts = range(first, first + count, self.batch_size)
        for start in starts[distributed.rank() :: distributed.world_size()][skipped:]:
            yield self.block(network, start, self.batch_size)

    @torch.no_grad()
    def block(self, network: Network, first: int, count: int) -> Block:
        """The samples first .. first + count - 1 in one batch, on this worker alone."""
        generators = [sample_generator(self.seed, i) for i in range(first, first + count)]
        shape = (self.train_set.channels, self.train_set.resolution, self.train_set.resolution)
        noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
        condition = self.train_set.conditions.draw(generators).to(self.device)
        network = guided(network, self.guidance_scale)
        finite = torch.ones((), dtype=torch.bool, device=self.device)

        def watched(x: Tensor, time: Tensor, given: Condition) -> Tensor:
            output = network(x, time, given)
            finite.logical_and_(torch.isfinite(output).all())
            return output

        images = self.sampler.sample(self.process, watched, noise.to(self.device), condition, generators)
        finite.logical_and_(torch.isfinite(images).all())
        return Block(first=first, images=images, condition=condition, finite=finite)
