"""Random numbers as a function of seed, purpose and images seen, whatever the number of workers."""

import traceback

import pytest
import torch

from curriculum_search.training.randomness import StepRandom, derive_seed, seed_device


def step_random(rank: int, world_size: int, seed: int = 3) -> StepRandom:
    return StepRandom(
        seed=seed, batch_size=16, noise_shards=4, rank=rank, world_size=world_size, device=torch.device("cpu")
    )


def test_seeds_differ_between_seeds_purposes_and_keys() -> None:
    seeds = {
        derive_seed(seed, purpose, images, shard)
        for seed in range(10)
        for purpose in ("noise", "level", "flip")
        for images in range(0, 640, 64)
        for shard in range(8)
    }
    assert len(seeds) == 10 * 3 * 10 * 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_order_of_the_keys_matters() -> None:
    assert derive_seed(0, "noise", 1, 2) != derive_seed(0, "noise", 2, 1)


@pytest.mark.parametrize("world_size", [2, 4])
def test_several_workers_draw_together_what_one_draws(world_size: int) -> None:
    alone = step_random(0, 1)
    workers = [step_random(rank, world_size) for rank in range(world_size)]
    noise = torch.cat([worker.noise((1, 4, 4), 640) for worker in workers])
    uniforms = torch.cat([worker.uniforms("level", 640) for worker in workers])
    assert torch.equal(noise, alone.noise((1, 4, 4), 640))
    assert torch.equal(uniforms, alone.uniforms("level", 640))


def test_a_draw_depends_on_the_images_seen_and_not_on_the_draws_before() -> None:
    first = step_random(0, 1)
    first.noise((1, 4, 4), 0)
    later = first.noise((1, 4, 4), 16)
    assert torch.equal(later, step_random(0, 1).noise((1, 4, 4), 16))
    assert not torch.equal(later, step_random(0, 1).noise((1, 4, 4), 32))
    assert not torch.equal(later, step_random(0, 1, seed=4).noise((1, 4, 4), 16))


def test_a_device_is_seeded_as_pytorch_seeds_it_without_looking_up_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    monkeypatch.setattr(traceback, "format_stack", lambda: pytest.fail("the stack was looked up"))
    seed_device(5, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected)
