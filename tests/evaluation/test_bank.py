"""The validation loss on a fixed bank."""

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum_search import distributed
from curriculum_search.conditions import Condition
from curriculum_search.data import MemoryImages, to_float
from curriculum_search.diffusion import DDPM, Network
from curriculum_search.evaluation import FixedBank

CPU = torch.device("cpu")


def zero(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
    return torch.zeros_like(x)


def test_levels_are_the_midpoints_of_equal_intervals_of_q(digits: MemoryImages) -> None:
    bank = FixedBank(digits, DDPM(), num_images=3, num_levels=4, seed=0, device=CPU)
    assert bank.q.tolist() == [0.125, 0.375, 0.625, 0.875]
    assert bank.losses(zero).shape == (4,)
    assert bank.losses(zero).dtype == torch.float64


def test_a_network_that_predicts_no_noise_has_the_power_of_the_noise_as_its_loss_at_every_level(
    digits: MemoryImages,
) -> None:
    losses = FixedBank(digits, DDPM(), num_images=200, num_levels=5, seed=0, device=CPU).losses(zero)
    # The same noise at every level, so the same loss; it is chi-squared with 200 * 64 degrees of freedom.
    assert float(losses.std()) == pytest.approx(0, abs=1e-6)
    assert float(losses[0]) == pytest.approx(1, abs=5 * np.sqrt(2 / (200 * 64)))


def test_is_the_mean_loss_of_the_process_over_the_images_at_each_level(digits: MemoryImages, network: Network) -> None:
    process, batch = DDPM(), 7
    bank = FixedBank(digits, process, num_images=10, num_levels=3, seed=4, device=CPU, batch_size=batch)
    chosen = np.sort(np.random.default_rng(4).choice(len(digits), 10, replace=False))
    images, condition = digits.read(chosen)
    noise = torch.stack(
        [torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(4 * 2**20 + i)) for i in range(10)]
    )
    expected = [
        float(process.losses(network, to_float(images), torch.full((10,), q), noise, condition).double().mean())
        for q in bank.q.tolist()
    ]
    assert bank.losses(network).tolist() == pytest.approx(expected, rel=1e-5)


def test_two_calls_agree_bit_for_bit_and_two_seeds_do_not(digits: MemoryImages, network: Network) -> None:
    banks = [FixedBank(digits, DDPM(), num_images=8, num_levels=4, seed=seed, device=CPU) for seed in (0, 0, 1)]
    first, second, other = (bank.losses(network) for bank in banks)
    assert torch.equal(first, second)
    assert torch.equal(first, banks[0].losses(network))
    assert not torch.equal(first, other)


def test_more_images_than_there_are_is_an_error(digits: MemoryImages) -> None:
    with pytest.raises(ValueError, match=r"num_images must be in 1\.\.1797 .* not 1798"):
        FixedBank(digits, DDPM(), num_images=1798, num_levels=4, seed=0, device=CPU)


def test_all_workers_run_the_network_equally_often_and_share_the_rows(
    digits: MemoryImages, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = FixedBank(digits, DDPM(), num_images=10, num_levels=4, seed=4, device=CPU, batch_size=8)  # 5 batches
    whole, calls = bank.losses(network), list[int]()

    def counted(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        calls[-1] += 1
        return network(x, time, condition)

    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    monkeypatch.setattr(distributed, "all_reduce_sum", lambda tensor: tensor)
    own = []
    for rank in range(3):
        calls.append(0)
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        own.append(bank.losses(counted))
    assert calls == [2, 2, 2]
    assert torch.allclose(sum(own, torch.zeros(4, dtype=torch.float64)), whole, rtol=1e-12)
