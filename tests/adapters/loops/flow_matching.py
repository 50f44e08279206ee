"""The form of flow_matching's examples/image: train.py, training/train_loop.py and training/load_and_save.py."""

from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as distributed_mode
from adapters.loops.common import BATCH, Loader, Network, Run

from curriculum_search.adapters import Levels
from curriculum_search.diffusion import LogNormal


def train_one_epoch(
    model: Network, data_loader: Loader, optimizer: torch.optim.Optimizer, device: torch.device, curriculum: Any
) -> Run:
    run = Run(curriculum)
    for samples, labels in data_loader:
        optimizer.zero_grad()
        noise = torch.randn_like(samples).to(device)
        conditioning = {"label": labels}
        # [docs] training/train_loop.py, train_one_epoch with the argument curriculum: from if args.skewed_timesteps on
        t = curriculum.levels(samples.shape[0], device)
        # [/docs]
        share = t.reshape(-1, 1, 1, 1)
        x_t, u_t = (1 - share) * noise + share * samples, samples - noise
        # [docs] training/train_loop.py, there, instead of loss = torch.pow(...)
        losses = torch.pow(model(x_t, t, extra=conditioning) - u_t, 2).flatten(1).mean(1)
        curriculum.observe(losses)
        loss = (losses * curriculum.importance).mean()
        # [/docs]
        loss.backward()
        optimizer.step()
        run.record(t, loss, losses)
    return run


def save_model(epoch: int, model: Network, optimizer: torch.optim.Optimizer, curriculum: Any) -> None:
    to_save = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": epoch,
        # [docs] training/load_and_save.py, save_model with the argument curriculum: in to_save
        "curriculum": curriculum.state_dict(),
        # [/docs]
    }
    torch.save(to_save, "checkpoint.pth")


def load_model(args: Any, model: Network, optimizer: torch.optim.Optimizer, curriculum: Any) -> None:
    if args.resume:
        checkpoint = torch.load(args.resume, map_location="cpu")
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        args.start_epoch = checkpoint["epoch"] + 1
        # [docs] training/load_and_save.py, load_model with the argument curriculum: after args.start_epoch
        curriculum.load_state_dict(checkpoint["curriculum"])
        # [/docs]


class Epoch(Loader):
    """One batch; what a test calls steps are epochs."""

    def __len__(self) -> int:
        return len(self.steps)

    def set_epoch(self, epoch: int) -> None:
        self.steps = range(epoch, epoch + 1)


def train(*, stop: int, resume: bool) -> Run:
    args = SimpleNamespace(
        epochs=len(Loader()), batch_size=BATCH, start_epoch=0, resume="checkpoint.pth" if resume else ""
    )
    model, device, data_loader_train = Network(), torch.device("cpu"), Epoch(0, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    # [docs] train.py, before load_model (density: with --skewed_timesteps; t runs from noise to data)
    curriculum = Levels(
        "curriculum.json",
        "flow",
        level=lambda t: 1 - t,
        density=LogNormal(mean=-1.2, std=1.2),
        total_images=args.epochs * len(data_loader_train) * args.batch_size * distributed_mode.get_world_size(),
    )
    # [/docs]
    load_model(args, model, optimizer, curriculum)
    run = Run(curriculum)
    for epoch in range(args.start_epoch, stop):
        data_loader_train.set_epoch(epoch)
        of_epoch = train_one_epoch(model, data_loader_train, optimizer, device, curriculum=curriculum)
        run.levels += of_epoch.levels
        run.losses += of_epoch.losses
        save_model(epoch, model, optimizer, curriculum=curriculum)
    return run
