"""The form of SiT: train.py, and Transport of transport/transport.py."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch as th
from adapters.loops.common import BATCH, Loader, Network, Run, mean_flat, square_error
from torch import Tensor

from curriculum_search.adapters import SiTTimes


class Transport:
    curriculum: Any

    def check_interval(self) -> tuple[float, float]:
        return 0.0, 1.0

    def sample(self, x1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x0 = th.randn_like(x1)
        t0, t1 = self.check_interval()
        # [docs] transport/transport.py, in Transport.sample, instead of the line with th.rand
        t = self.curriculum.times(x1.shape[0], x1.device, t0, t1)
        # [/docs]
        t = t.to(x1)
        return t, x0, x1

    def training_losses(self, model: Network, x1: Tensor, model_kwargs: dict[str, Tensor]) -> dict[str, Tensor]:
        t, _, x1 = self.sample(x1)
        return {"loss": mean_flat(square_error(model, x1, t, 1 - t)), "t": t}


def train(*, stop: int, resume: bool) -> Run:
    args = SimpleNamespace(epochs=1, global_batch_size=BATCH)
    model, transport = Network(), Transport()
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0)
    path = max(Path.cwd().glob("*.pt")) if resume else None
    train_steps = int(path.stem) if path else 0
    if path:
        checkpoint = torch.load(path)
        model.load_state_dict(checkpoint["model"])
    loader = Loader(train_steps, stop)
    # [docs] train.py, after loader has been made
    transport.curriculum = SiTTimes("curriculum.json", total_images=args.epochs * len(loader) * args.global_batch_size)
    # [/docs]
    if path:
        # [docs] train.py, after that, where you load a checkpoint to go on
        transport.curriculum.load_state_dict(checkpoint["curriculum"])
        # [/docs]
    run = Run(transport.curriculum)
    for x, y in loader:
        model_kwargs = {"y": y}
        loss_dict = transport.training_losses(model, x, model_kwargs)
        # [docs] train.py, instead of loss = loss_dict["loss"].mean()
        transport.curriculum.observe(loss_dict["loss"])
        loss = (loss_dict["loss"] * transport.curriculum.importance).mean()
        # [/docs]
        opt.zero_grad()
        loss.backward()
        opt.step()
        run.record(loss_dict["t"], loss, loss_dict["loss"])
        train_steps += 1
        if train_steps % 5 == 0:
            # [docs] wherever you validate (in any codebase)
            with transport.curriculum.validation():
                val_loss = transport.training_losses(model, x, model_kwargs)["loss"].mean()
            # [/docs]
            assert val_loss.isfinite()
    checkpoint = {
        "model": model.state_dict(),
        # [docs] train.py, in the dictionary checkpoint
        "curriculum": transport.curriculum.state_dict(),
        # [/docs]
    }
    torch.save(checkpoint, f"{train_steps:07d}.pt")
    return run
