"""The form of DiT's train.py."""

from pathlib import Path
from types import SimpleNamespace

import torch
from adapters.loops.common import BATCH, Loader, Network, Run, mean_flat, square_error
from torch import Tensor

from curriculum_search.adapters import ScheduleSampler


class Diffusion:
    num_timesteps = 1000

    def training_losses(
        self, model: Network, x: Tensor, t: Tensor, model_kwargs: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        return {"loss": mean_flat(square_error(model, x, t, t / self.num_timesteps))}


def train(*, stop: int, resume: bool) -> Run:
    args = SimpleNamespace(epochs=1, global_batch_size=BATCH)
    device = torch.device("cpu")
    model, diffusion = Network(), Diffusion()
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0)
    path = max(Path.cwd().glob("*.pt")) if resume else None
    train_steps = int(path.stem) if path else 0
    loader = Loader(train_steps, stop)
    # [docs] train.py, after loader has been made
    schedule_sampler = ScheduleSampler(
        "curriculum.json", diffusion, total_images=args.epochs * len(loader) * args.global_batch_size
    )
    # [/docs]
    run = Run(schedule_sampler)
    if path:
        checkpoint = torch.load(path)
        model.load_state_dict(checkpoint["model"])
        opt.load_state_dict(checkpoint["opt"])
        # [docs] train.py, where you load a checkpoint to go on
        schedule_sampler.load_state_dict(checkpoint["curriculum"])
        # [/docs]
    for x, y in loader:
        # [docs] train.py, instead of t = torch.randint(...)
        t, weights = schedule_sampler.sample(x.shape[0], device)
        # [/docs]
        model_kwargs = {"y": y}
        loss_dict = diffusion.training_losses(model, x, t, model_kwargs)
        # [docs] train.py, instead of loss = loss_dict["loss"].mean()
        schedule_sampler.observe(loss_dict["loss"])
        loss = (loss_dict["loss"] * weights).mean()
        # [/docs]
        opt.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        opt.step()
        run.record(t, loss, loss_dict["loss"])
        train_steps += 1
    checkpoint = {
        "model": model.state_dict(),
        "opt": opt.state_dict(),
        # [docs] train.py, in the dictionary checkpoint
        "curriculum": schedule_sampler.state_dict(),
        # [/docs]
    }
    torch.save(checkpoint, f"{train_steps:07d}.pt")
    return run
