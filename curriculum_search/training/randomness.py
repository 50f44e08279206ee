"""Random numbers as a pure function of what they are for.

Every draw of a run comes from a generator seeded with (seed, purpose, images seen, ...), after EDM2's training loop:
a run that is resumed goes on with the numbers it would have drawn, and all trials with one seed share theirs (common
random numbers).
"""

import zlib

import torch

_MASK = (1 << 64) - 1


def derive_seed(seed: int, purpose: str, *keys: int) -> int:
    """A 63-bit seed that mixes `seed`, the purpose's name and any number of integer keys (splitmix64)."""
    state = seed & _MASK
    for key in (zlib.crc32(purpose.encode()), *keys):
        state = (state + 0x9E3779B97F4A7C15 * (key + 1)) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def seed_device(seed: int, device: torch.device) -> None:
    """Seed what a network on `device` (a CPU or a CUDA device) draws from, as `torch.manual_seed` does.

    That one also writes down, for each kind of accelerator that is not there, the stack that it was called from, and
    looks up every source file on it: in a step of a small network a tenth of the time, more where files are far away.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)


class StepRandom:
    """The random numbers of one training step, the same for every number of workers.

    What a step needs once per image and is small (the uniforms that place the noise level, drop conditions, flip
    images) every worker draws for the whole global batch and takes its slice of.  The noise itself is drawn in
    `noise_shards` parts with a generator each; a worker draws the parts that are its own.

    Args:
        seed: the experiment's seed.
        batch_size: images of the global batch.
        noise_shards: parts of the global batch; divides `batch_size` and is a multiple of `world_size`.
        rank, world_size: this worker's place.
        device: where the numbers are drawn and needed.
    """

    def __init__(
        self, *, seed: int, batch_size: int, noise_shards: int, rank: int, world_size: int, device: torch.device
    ) -> None:
        self.seed = seed
        self.batch_size = batch_size
        self.device = device
        self.shard_size = batch_size // noise_shards
        per_worker = noise_shards // world_size
        self.shards = range(rank * per_worker, (rank + 1) * per_worker)
        self.local = slice(self.shards.start * self.shard_size, self.shards.stop * self.shard_size)
        self._generator = torch.Generator(device=device)

    def uniforms(self, purpose: str, images_seen: int) -> torch.Tensor:
        """Uniform numbers in [0, 1) for this worker's slice of the batch, float32 [local batch]."""
        self._generator.manual_seed(derive_seed(self.seed, purpose, images_seen))
        return torch.rand(self.batch_size, generator=self._generator, device=self.device)[self.local]

    def noise(self, shape: tuple[int, ...], images_seen: int, purpose: str = "noise") -> torch.Tensor:
        """Standard normal noise for this worker's slice, float32 [local batch, *shape]."""
        parts = []
        for shard in self.shards:
            self._generator.manual_seed(derive_seed(self.seed, purpose, images_seen, shard))
            parts.append(torch.randn((self.shard_size, *shape), generator=self._generator, device=self.device))
        return torch.cat(parts) if len(parts) > 1 else parts[0]
