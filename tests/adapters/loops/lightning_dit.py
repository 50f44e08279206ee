"""The form of LightningDiT: train.py, and Transport of transport/transport.py."""

from pathlib import Path
from typing import Any

import torch
import torch as th
from adapters.loops.common import BATCH, STEPS, Loader, Network, Run, mean_flat, square_error
from torch import Tensor

from curriculum_search.adapters import Levels
from curriculum_search.diffusion import LogNormal


class Transport:
    curriculum: Any

    def check_interval(self) -> tuple[float, float]:
        return 0.0, 1.0

    def sample(self, x1: Tensor, sp_timesteps: tuple[float, float] | None = None) -> tuple[Tensor, Tensor, Tensor]:
        x0 = th.randn_like(x1)
        t0, t1 = self.check_interval()
        # [docs] transport/transport.py, in Transport.sample, instead of the lines from if not self.use_lognorm
        if sp_timesteps is None:
            t = self.curriculum.levels(x1.shape[0], x1.device) * (t1 - t0) + t0
        # [/docs]
        if sp_timesteps is not None:
            t = th.rand((x1.shape[0],)) * (sp_timesteps[1] - sp_timesteps[0]) + sp_timesteps[0]
        t = t.to(x1)
        return t, x0, x1

    def training_losses(
        self,
        model: Network,
        x1: Tensor,
        model_kwargs: dict[str, Tensor],
        sp_timesteps: tuple[float, float] | None = None,
    ) -> dict[str, Tensor]:
        t, _, x1 = self.sample(x1, sp_timesteps)
        error = square_error(model, x1, t, 1 - t)
        return {"loss": mean_flat(error), "cos_loss": 0.1 * mean_flat(error), "t": t}


def train(*, stop: int, resume: bool) -> Run:
    train_config: dict[str, Any] = {"train": {"max_steps": STEPS, "global_batch_size": BATCH, "resume": resume}}
    model, transport, num_processes = Network(), Transport(), 1
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0)
    batch_size_per_gpu = train_config["train"]["global_batch_size"] // num_processes
    global_batch_size = batch_size_per_gpu * num_processes
    # [docs] train.py, after global_batch_size (density: where use_lognorm is set; t runs from noise to data)
    transport.curriculum = Levels(
        "curriculum.json",
        "flow",
        level=lambda t: 1 - t,
        density=LogNormal(mean=0.0, std=1.0),
        total_images=train_config["train"]["max_steps"] * global_batch_size,
    )
    # [/docs]
    run, train_steps = Run(transport.curriculum), 0
    if train_config["train"]["resume"]:
        latest_checkpoint = max(Path.cwd().glob("*.pt"))
        checkpoint = torch.load(latest_checkpoint)
        model.load_state_dict(checkpoint["model"])
        opt.load_state_dict(checkpoint["opt"])  # There this line is commented out.
        # [docs] train.py, where latest_checkpoint is loaded
        transport.curriculum.load_state_dict(checkpoint["curriculum"])
        # [/docs]
        train_steps = int(latest_checkpoint.stem)
    for x, y in Loader(train_steps, stop):
        model_kwargs = {"y": y}
        loss_dict = transport.training_losses(model, x, model_kwargs)
        losses = loss_dict["loss"] + loss_dict["cos_loss"]
        # [docs] train.py, after loss_dict has been made
        transport.curriculum.observe(loss_dict["loss"])
        loss_dict["loss"] = loss_dict["loss"] * transport.curriculum.importance
        if "cos_loss" in loss_dict:
            loss_dict["cos_loss"] = loss_dict["cos_loss"] * transport.curriculum.importance
        # [/docs]
        if "cos_loss" in loss_dict:
            mse_loss = loss_dict["loss"].mean()
            loss = loss_dict["cos_loss"].mean() + mse_loss
        else:
            loss = loss_dict["loss"].mean()
        opt.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        opt.step()
        run.record(loss_dict["t"], loss, losses)
        train_steps += 1
        if train_steps % 5 == 0:  # as evaluate does there
            assert transport.training_losses(model, x, model_kwargs, (0.0, 1.0))["loss"].isfinite().all()
    checkpoint = {
        "model": model.state_dict(),
        "opt": opt.state_dict(),
        # [docs] train.py, in the dictionary checkpoint
        "curriculum": transport.curriculum.state_dict(),
        # [/docs]
    }
    torch.save(checkpoint, f"{train_steps:07d}.pt")
    return run
