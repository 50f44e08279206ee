"""Samples that are known by their index."""

import dataclasses

import numpy as np
import pytest
import torch
from support.conditions import shown
from torch import Tensor

from curriculum_search.conditions import ClassCondition, Condition, Unconditional
from curriculum_search.data import Digits, MemoryImages
from curriculum_search.diffusion import (
    DDPM,
    EDM,
    DDIMSampler,
    DDPMSampler,
    EulerSampler,
    Flow,
    HeunSampler,
    Network,
    Process,
    Sampler,
)
from curriculum_search.evaluation.generation import Block, Generation, sample_generator


@pytest.fixture
def generation(digits: MemoryImages) -> Generation:
    return Generation(
        process=DDPM(),
        sampler=DDPMSampler(num_steps=4),
        train_set=digits,
        conditions=digits.conditions,
        guidance_scale=1.0,
        seed=0,
        batch_size=16,
        device=torch.device("cpu"),
    )


def samples(generation: Generation, network: Network, first: int, count: int) -> Tensor:
    return torch.cat([block.values for block in generation.blocks(network, first, count)])[:count]


def labels_of(block: Block) -> Tensor:
    assert isinstance(block.condition, ClassCondition)
    return block.condition.labels


@pytest.mark.parametrize(
    ("process", "sampler"),
    [
        (DDPM(), DDPMSampler(num_steps=4)),
        (DDPM(), DDIMSampler(num_steps=4, eta=0.5)),
        (EDM(), HeunSampler(num_steps=3)),
        (EDM(), EulerSampler(num_steps=3)),
        (Flow(), HeunSampler(num_steps=3)),
    ],
)
def test_a_sample_depends_on_its_index_alone(
    generation: Generation, network: Network, process: Process, sampler: Sampler
) -> None:
    generation = dataclasses.replace(generation, process=process, sampler=sampler)
    whole = samples(generation, network, 0, 40)
    assert torch.equal(samples(generation, network, 16, 20), whole[16:36])
    # A batch of another size may round float sums differently, and nothing else.
    for batch_size in (7, 40):
        other = samples(dataclasses.replace(generation, batch_size=batch_size), network, 0, 40)
        torch.testing.assert_close(other, whole, rtol=1e-3, atol=1e-4)
    assert len(np.unique(whole.numpy(), axis=0)) == 40


def test_the_last_block_is_filled_so_that_the_number_asked_for_changes_nothing(
    generation: Generation, network: Network
) -> None:
    whole = samples(generation, network, 0, 48)
    assert torch.equal(samples(generation, network, 0, 35), whole[:35])


def test_labels_are_as_frequent_as_in_training_and_belong_to_the_index(
    generation: Generation, network: Network, digits: MemoryImages
) -> None:
    rare = np.where(digits.labels == 3, 3, 7)
    uneven = MemoryImages("uneven", digits.images, rare)
    generation = dataclasses.replace(
        generation, train_set=uneven, conditions=uneven.conditions, sampler=DDIMSampler(num_steps=1), batch_size=500
    )
    labels = labels_of(generation.block(network, 0, 2_000))
    assert set(labels.tolist()) == {3, 7}
    share = float((rare == 3).mean())
    assert float(labels.eq(3).double().mean()) == pytest.approx(share, abs=4 * np.sqrt(share / 2_000))
    assert torch.equal(labels_of(generation.block(network, 990, 20)), labels[990:1010])


def test_an_unconditional_network_gets_no_labels(generation: Generation) -> None:
    unlabelled = Digits(use_labels=False).load()
    seen: list[Condition] = []

    def network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        seen.append(condition)
        return torch.zeros_like(x)

    dataclasses.replace(generation, train_set=unlabelled, conditions=unlabelled.conditions).block(network, 0, 3)
    assert [type(condition) for condition in seen] == [Unconditional] * 4


def test_guidance_doubles_the_batch_with_the_null_label(generation: Generation, network: Network) -> None:
    seen: list[Condition] = []

    def spy(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        seen.append(condition)
        return network(x, time, condition)

    plain = generation.block(network, 0, 5)
    guided = dataclasses.replace(generation, guidance_scale=2.0).block(spy, 0, 5)
    doubled = [*labels_of(plain).tolist(), *[None] * 5]
    assert [shown(condition) for condition in seen] == [doubled] * len(seen)
    assert seen
    assert not torch.equal(guided.values, plain.values)


def test_seeds_have_samples_of_their_own() -> None:
    def first(seed: int, index: int) -> float:
        return float(torch.rand((), generator=sample_generator(seed, index)))

    assert len({first(seed, index) for seed in range(5) for index in range(50)}) == 250
    assert first(0, 7) == float(torch.rand((), generator=torch.Generator().manual_seed(7)))
