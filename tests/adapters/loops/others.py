"""Where REPA, LightningDiT, flow_matching and k-diffusion draw their noise levels, each in its own convention.

Of each codebase there is a function that draws for one batch of images after another.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from types import SimpleNamespace

import torch.distributed as dist
from torch import Tensor

from curriculum_search.adapters import Levels
from curriculum_search.diffusion import LogNormal

Draws = Iterator[tuple[Levels, Tensor]]


def repa(args: SimpleNamespace, loader: Iterable[Tensor]) -> Draws:
    # [docs] REPA, in train.py (time_input is the share of noise)
    curriculum = Levels("curriculum.json", "flow", total_images=args.max_train_steps * args.batch_size)
    # [/docs]
    for images in loader:
        # [docs] REPA, in SILoss.__call__
        time_input = curriculum.levels(images.shape[0], images.device).reshape(-1, 1, 1, 1)
        # [/docs]
        yield curriculum, time_input


def lightning_dit(args: SimpleNamespace, loader: Iterable[Tensor]) -> Draws:
    # [docs] LightningDiT, in train.py (t runs from noise to data, and is logit-normal where use_lognorm is set)
    curriculum = Levels(
        "curriculum.json",
        "flow",
        level=lambda t: 1 - t,
        density=LogNormal(mean=0.0, std=1.0),
        total_images=args.max_steps * args.global_batch_size,
    )
    # [/docs]
    for x1 in loader:
        # [docs] LightningDiT, in Transport.sample
        t = curriculum.levels(x1.shape[0], x1.device)
        # [/docs]
        yield curriculum, t


def flow_matching(args: SimpleNamespace, data_loader: Collection[Tensor]) -> Draws:
    # [docs] flow_matching's examples/image, in train.py (t runs from noise to data; density: with --skewed_timesteps)
    curriculum = Levels(
        "curriculum.json",
        "flow",
        level=lambda t: 1 - t,
        density=LogNormal(mean=-1.2, std=1.2),
        total_images=args.epochs * len(data_loader) * args.batch_size * dist.get_world_size(),
    )
    # [/docs]
    for samples in data_loader:
        device = samples.device
        # [docs] flow_matching's examples/image, in train_one_epoch
        t = curriculum.levels(samples.shape[0], device)
        # [/docs]
        yield curriculum, t


def k_diffusion(args: SimpleNamespace, loader: Iterable[Tensor]) -> Draws:
    # [docs] k-diffusion, in train.py (density: what sigma_sample_density in its config says)
    curriculum = Levels(
        "curriculum.json", "edm", density=LogNormal(mean=-1.2, std=1.2), total_images=args.end_step * args.batch_size
    )
    # [/docs]
    for reals in loader:
        device = reals.device
        # [docs] k-diffusion, in its loop
        sigma = curriculum.levels(reals.shape[0], device)
        # [/docs]
        yield curriculum, sigma


CODEBASES: dict[str, Callable[[SimpleNamespace, Collection[Tensor]], Draws]] = {
    "repa": repa,
    "lightning_dit": lightning_dit,
    "flow_matching": flow_matching,
    "k_diffusion": k_diffusion,
}
