"""Evaluations by one, two and four workers, each a process of its own; started by test_evaluation_workers.py.

Usage: worker.py FOLDER, in which ``vae`` has an autoencoder
"""

import multiprocessing
import sys
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist

from curriculum_search.conditions import Condition
from curriculum_search.data import Digits
from curriculum_search.diffusion import DDPM, DDPMSampler
from curriculum_search.evaluation import (
    Classifier,
    Diverged,
    Evaluation,
    FixedBank,
    Frechet,
    InceptionScore,
    KernelDistance,
    Pixels,
    PrecisionRecall,
    ValidationLoss,
)
from curriculum_search.evaluation.generation import Generation
from curriculum_search.models import DiT
from curriculum_search.models.encoders import VAE, Autoencoder, Decoded

EXTRACTOR = Classifier(num_features=16, training_images=1_000)
SETTINGS = Evaluation(
    evaluators=(Frechet(extractor=EXTRACTOR, num_samples=75), ValidationLoss(num_images=9, num_levels=10)),
    final_evaluators=(
        Frechet(extractor=Pixels(num_components=20), num_samples=60),
        KernelDistance(extractor=EXTRACTOR, num_samples=75, subset_size=30, num_subsets=3),
        PrecisionRecall(extractor=EXTRACTOR, num_samples=70),
        InceptionScore(extractor=EXTRACTOR, num_samples=75, num_splits=3),
    ),
    sampler=DDPMSampler(num_steps=3),
    batch_size=16,
)
OF_LATENTS = Evaluation(
    evaluators=(Frechet(extractor=Pixels(num_components=20), num_samples=75), ValidationLoss(num_images=9)),
    final_evaluators=(),
    sampler=DDPMSampler(num_steps=3),
    batch_size=16,
    grid_images=40,
)


def network_for(channels: int, resolution: int) -> torch.nn.Module:
    """A network with weights from a seed."""
    torch.manual_seed(0)
    model = DiT(patch_size=resolution // 2, hidden_size=16, depth=1, num_heads=2)
    conditions = Digits().load().conditions
    network = model.build(channels=channels, out_channels=channels, resolution=resolution, conditions=conditions)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def work(rank: int, world_size: int, folder: Path, cache: Path) -> None:
    """Evaluate a network of images and one of latents, and write what came out to `folder`."""
    torch.set_num_threads(1)
    if world_size > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size)
    network = network_for(channels=1, resolution=8)
    source, device = Digits(), torch.device("cpu")
    # Workers on machines that share no files have caches of their own.
    run = SETTINGS.build(
        process=DDPM(), source=source, train_set=source.load(), device=device, cache_dir=cache / str(rank % 2)
    )
    metrics = run.metrics(network, final=True)
    with patch.object(Generation, "block", side_effect=AssertionError):  # All of it is there, in four blocks.
        grid = run.grid(network)
    samples = {block.first: block.values for block in run.generation.blocks(network, 0, 75)}
    bank = FixedBank(source.load(), DDPM(), num_images=10, num_levels=7, seed=0, device=device, batch_size=16)

    def breaks_for_some(x: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
        return torch.full_like(x, torch.nan) if rank == world_size - 1 else network(x, time, condition)

    try:
        run.metrics(breaks_for_some, final=False)
        diverged = False
    except Diverged:
        diverged = True
    result = {"metrics": metrics, "grid": grid, "samples": samples, "bank": bank.losses(network), "diverged": diverged}

    of_latents = OF_LATENTS.build(
        process=DDPM(),
        source=source,
        train_set=source.load(),
        device=device,
        cache_dir=cache / str(rank % 2),
        encoder=VAE(path=str(folder.parent / "vae")),
    )
    decoded, decode = [], Autoencoder.decode

    def counted(self: Autoencoder, values: torch.Tensor) -> Decoded:
        decoded.append(len(values))
        return decode(self, values)

    latents = network_for(channels=2, resolution=4)
    with patch.object(Autoencoder, "decode", counted):
        result |= {"latent_metrics": of_latents.metrics(latents, final=True), "latent_grid": of_latents.grid(latents)}
    result["decoded"] = sum(decoded)
    torch.save(result, folder / f"result-{rank}.pt")
    if world_size > 1:
        dist.destroy_process_group()


def main(folder: Path) -> int:
    """Run all of them; what they share by being forked is what they have imported."""
    Digits().load()
    VAE(path=str(folder / "vae")).checksum()
    processes = []
    for world_size in (1, 2, 4):
        there = folder / str(world_size)
        there.mkdir()
        for rank in range(world_size):
            arguments = (rank, world_size, there, folder / "cache")
            processes.append(multiprocessing.get_context("fork").Process(target=work, args=arguments))
            processes[-1].start()
    for process in processes:
        process.join()
    return max(abs(process.exitcode or 0) for process in processes)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
