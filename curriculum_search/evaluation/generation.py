"""Generating samples whose identity does not depend on how many workers make them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.conditions import Condition, Conditions
from curriculum_search.data import ImageSet
from curriculum_search.diffusion import Network, Process, Sampler, guided
from curriculum_search.models.encoders import PIXELS, Encoder

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
        values: float32 [n, C, H, W], what the network was trained on.
        images: uint8 [n, C, H, W], decoded from them.
        condition: of the samples.
        finite: bool []: whether the samples, before and after decoding, and all that the network gave on the way, are
            finite.  Samplers clip and images are rounded, which makes an infinite output look like an image.
    """

    first: int
    values: Tensor
    images: Tensor
    condition: Condition
    finite: Tensor


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How samples come about.

    Attributes:
        process: the noise process that the network was trained with.
        sampler: from noise to what the network was trained on.
        train_set: gives the images' shape.
        conditions: what samples are conditioned on is drawn from these.
        guidance_scale: weight of classifier-free guidance; 1 is none.
        seed: see `sample_generator`.
        batch_size: samples that go through the network together, also where fewer are asked for: a float sum may come
            out differently in a batch of another size.
        device: where the network is.
        encoder: makes images of what the network was trained on.
    """

    process: Process
    sampler: Sampler
    train_set: ImageSet
    conditions: Conditions
    guidance_scale: float
    seed: int
    batch_size: int
    device: torch.device
    encoder: Encoder = PIXELS

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

    def block(self, network: Network, first: int, count: int) -> Block:
        """The samples first .. first + count - 1 in one batch, on this worker alone."""
        generators, noise = self._start(first, count)
        return self._made(network, first, generators, noise, self.conditions.draw(generators))

    def prompted(self, network: Network, prompts: Sequence[str]) -> Block:
        """The samples 0 .. len(prompts) - 1, of prompts of the user's own."""
        generators, noise = self._start(0, len(prompts))
        return self._made(network, 0, generators, noise, self.conditions.prompted(prompts))

    def titles(self, count: int) -> tuple[str, ...]:
        """What stands below the first `count` samples; nothing where their conditions have no words."""
        return self.conditions.titles(self.conditions.draw(self._start(0, count)[0]))

    def _start(self, first: int, count: int) -> tuple[list[torch.Generator], Tensor]:
        """The random numbers of each sample, and the noise that it begins as."""
        generators = [sample_generator(self.seed, i) for i in range(first, first + count)]
        shape = self.encoder.shape_of(self.train_set)
        return generators, torch.stack([torch.randn(shape, generator=generator) for generator in generators])

    @torch.no_grad()
    def _made(
        self, network: Network, first: int, generators: list[torch.Generator], noise: Tensor, condition: Condition
    ) -> Block:
        condition = condition.to(self.device)
        network = guided(network, self.guidance_scale)
        finite = torch.ones((), dtype=torch.bool, device=self.device)

        def watched(x: Tensor, time: Tensor, given: Condition) -> Tensor:
            output = network(x, time, given)
            finite.logical_and_(torch.isfinite(output).all())
            return output

        values = self.sampler.sample(self.process, watched, noise.to(self.device), condition, generators)
        decoded = self.encoder.load(self.device).decode(values)
        finite.logical_and_(torch.isfinite(values).all()).logical_and_(decoded.finite)
        return Block(first=first, values=values, images=decoded.images, condition=condition, finite=finite)
