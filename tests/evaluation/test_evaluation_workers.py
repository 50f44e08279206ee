"""Any number of workers finds what a single one does."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import pytest
import torch
from support.autoencoder import save_autoencoder
from torch import Tensor


class Result(TypedDict):
    """What a worker found."""

    metrics: dict[str, float]
    grid: Tensor
    samples: dict[int, Tensor]
    bank: Tensor
    diverged: bool
    latent_metrics: dict[str, float]
    latent_grid: Tensor
    decoded: int


Results = Mapping[int, list[Result]]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """World size to what each of its workers found, from real processes that talk through gloo."""
    folder = tmp_path_factory.mktemp("workers")
    save_autoencoder(folder / "vae")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(Path(__file__).with_name("worker.py")), str(folder)]
    subprocess.run(command, env=environment, check=True, timeout=240)
    return {
        world_size: [torch.load(folder / str(world_size) / f"result-{rank}.pt") for rank in range(world_size)]
        for world_size in (1, 2, 4)
    }


def samples(workers: list[Result]) -> Tensor:
    blocks = {first: images for worker in workers for first, images in worker["samples"].items()}
    return torch.cat([blocks[first] for first in sorted(blocks)])


@pytest.mark.parametrize("world_size", [2, 4])
def test_samples_are_the_same_bit_for_bit(results: Results, world_size: int) -> None:
    assert torch.equal(samples(results[world_size]), samples(results[1]))
    assert len(samples(results[1])) == 80


@pytest.mark.parametrize("world_size", [2, 4])
def test_a_grid_of_several_workers_samples_is_that_of_a_single_one(results: Results, world_size: int) -> None:
    for worker in results[world_size]:
        assert torch.equal(worker["grid"], results[1][0]["grid"])


@pytest.mark.parametrize("world_size", [2, 4])
def test_every_worker_has_the_metrics_of_a_single_one(results: Results, world_size: int) -> None:
    alone = results[1][0]["metrics"]
    for worker in results[world_size]:
        assert worker["metrics"] == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("world_size", [2, 4])
def test_bank_losses_are_the_same_bit_for_bit_on_every_worker(results: Results, world_size: int) -> None:
    for worker in results[world_size]:
        assert torch.equal(worker["bank"], results[1][0]["bank"])


@pytest.mark.parametrize("world_size", [2, 4])
def test_latents_are_decoded_once_by_the_worker_that_made_them(results: Results, world_size: int) -> None:
    (alone,) = results[1]
    assert alone["decoded"] == 80  # 75 samples, in five blocks
    assert sum(worker["decoded"] for worker in results[world_size]) == 80
    for worker in results[world_size]:
        assert worker["latent_metrics"] == pytest.approx(alone["latent_metrics"], rel=1e-6)
        assert torch.equal(worker["latent_grid"], alone["latent_grid"])


def test_all_workers_learn_that_one_has_diverged(results: Results) -> None:
    assert all(worker["diverged"] for workers in results.values() for worker in workers)
