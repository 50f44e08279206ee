"""The form of REPA: train.py, and SILoss of loss.py."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from adapters.loops.common import BATCH, STEPS, Loader, Network, Run, mean_flat
from torch import Tensor

from curriculum_search.adapters import Levels


class SILoss:
    curriculum: Any
    time_input: Tensor  # for the test

    def __call__(self, model: Network, images: Tensor, model_kwargs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        # [docs] loss.py, in SILoss.__call__, instead of the lines from if self.weighting == "uniform"
        time_input = self.curriculum.levels(images.shape[0], images.device).reshape(-1, 1, 1, 1)
        # [/docs]
        time_input = time_input.to(device=images.device, dtype=images.dtype)
        noises = torch.randn_like(images)
        model_input = (1 - time_input) * images + time_input * noises
        model_target = noises - images
        model_output, proj_loss = model(model_input, time_input.flatten(), **model_kwargs), torch.zeros(1)
        denoising_loss = mean_flat((model_output - model_target) ** 2)
        # [docs] loss.py, there, after denoising_loss
        self.curriculum.observe(denoising_loss)
        denoising_loss = denoising_loss * self.curriculum.importance
        # [/docs]
        self.time_input = time_input
        return denoising_loss, proj_loss


def train(*, stop: int, resume: bool) -> Run:
    args = SimpleNamespace(
        max_train_steps=STEPS, batch_size=BATCH, gradient_accumulation_steps=1, proj_coeff=0.5, resume_step=0
    )
    if resume:
        args.resume_step = int(max(Path.cwd().glob("*.pt")).stem)
    model, loss_fn = Network(), SILoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    # [docs] train.py, after loss_fn has been made
    total_images = args.max_train_steps * args.gradient_accumulation_steps * args.batch_size
    loss_fn.curriculum = Levels("curriculum.json", "flow", total_images=total_images)
    # [/docs]
    run, global_step = Run(loss_fn.curriculum), 0
    if args.resume_step > 0:
        ckpt = torch.load(f"{args.resume_step:07d}.pt", map_location="cpu")
        model.load_state_dict(ckpt["model"])
        optimizer.load_state_dict(ckpt["opt"])
        global_step = ckpt["steps"]
        # [docs] train.py, where ckpt is loaded
        loss_fn.curriculum.load_state_dict(ckpt["curriculum"])
        # [/docs]
    for x, y in Loader(global_step, stop):
        loss, proj_loss = loss_fn(model, x, {"y": y})
        losses = loss / loss_fn.curriculum.importance
        loss = loss.mean() + proj_loss.mean() * args.proj_coeff
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        run.record(loss_fn.time_input, loss, losses)
        global_step += 1
    checkpoint = {
        "model": model.state_dict(),
        "opt": optimizer.state_dict(),
        "steps": global_step,
        # [docs] train.py, in the dictionary checkpoint
        "curriculum": loss_fn.curriculum.state_dict(),
        # [/docs]
    }
    torch.save(checkpoint, f"{global_step:07d}.pt")
    return run
