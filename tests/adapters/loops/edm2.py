"""The form of EDM2's training/training_loop.py, whose CheckpointIO keeps and restores the objects that it is given."""

from pathlib import Path
from typing import Any

import torch
from adapters.loops.common import BATCH, STEPS, Loader, Run
from adapters.loops.edm import Recording
from torch import Tensor

from curriculum_search.adapters import EDMSigmas
from curriculum_search.diffusion import LogNormal


class EDM2Loss:
    def __init__(self, P_mean: float = -0.4, P_std: float = 1.0, sigma_data: float = 0.5) -> None:  # noqa: N803
        self.P_mean, self.P_std, self.sigma_data = P_mean, P_std, sigma_data

    def __call__(self, net: Any, images: Tensor, labels: Tensor, curriculum: Any) -> Tensor:
        # [docs] training/training_loop.py, EDM2Loss.__call__ with the argument curriculum: for rnd_normal, sigma
        sigma = curriculum.sigmas(images.shape[0], images.device)
        # [/docs]
        weight = (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2
        denoised, logvar = net(images + torch.randn_like(images) * sigma, sigma, labels), torch.zeros(1)
        loss: Tensor = (weight / logvar.exp()) * ((denoised - images) ** 2) + logvar
        # [docs] training/training_loop.py, there, before the return
        curriculum.observe(((denoised - images) ** 2).flatten(1).mean(1))
        loss = loss * curriculum.importance.reshape(-1, 1, 1, 1)
        # [/docs]
        return loss  # noqa: RET504


class CheckpointIO:
    def __init__(self, **state_objs: Any) -> None:
        self.state_objs = state_objs

    def save(self, path: str) -> None:
        torch.save(
            {k: v.state_dict() if hasattr(v, "state_dict") else v.__getstate__() for k, v in self.state_objs.items()},
            path,
        )

    def load_latest(self) -> None:
        paths = sorted(Path.cwd().glob("training-state-*.pt"))
        for name, data in (torch.load(paths[-1]) if paths else {}).items():
            if hasattr(self.state_objs[name], "load_state_dict"):
                self.state_objs[name].load_state_dict(data)
            else:
                self.state_objs[name].__dict__.clear()
                self.state_objs[name].__dict__.update(data)


class State:
    cur_nimg = 0

    def state_dict(self) -> dict[str, int]:
        return {"cur_nimg": self.cur_nimg}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.cur_nimg = state["cur_nimg"]


def train(*, stop: int, resume: bool) -> Run:
    total_nimg, batch_size = STEPS * BATCH, BATCH
    state, net, loss_fn = State(), Recording(), EDM2Loss()
    ddp, device = net, torch.device("cpu")
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    # [docs] training/training_loop.py, instead of the line that makes checkpoint
    ordinary = LogNormal(mean=loss_fn.P_mean, std=loss_fn.P_std)
    curriculum = EDMSigmas(
        "curriculum.json",
        total_images=total_nimg,
        density=ordinary,
    )
    checkpoint = CheckpointIO(state=state, net=net, loss_fn=loss_fn, optimizer=optimizer, curriculum=curriculum)
    # [/docs]
    if resume:
        checkpoint.load_latest()
    run = Run(curriculum)
    for images, labels in Loader(state.cur_nimg // batch_size, stop):
        optimizer.zero_grad()
        # [docs] training/training_loop.py, where loss_fn is called
        loss = loss_fn(net=ddp, images=images, labels=labels.to(device), curriculum=curriculum)
        # [/docs]
        loss.sum().mul(1 / batch_size).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        run.record(net.sigma, loss.mean(), (loss / curriculum.importance.reshape(-1, 1, 1, 1)).flatten(1).mean(1))
        state.cur_nimg += batch_size
    checkpoint.save(f"training-state-{state.cur_nimg:07d}.pt")
    return run
