"""The form of EDM's training/training_loop.py, which pickles its loss object into every snapshot."""

import pickle
from pathlib import Path
from typing import Any

import torch
from adapters.loops.common import BATCH, STEPS, Loader, Network, Run
from adapters.loops.edm_loss import EDMLoss

from curriculum_search.adapters import EDMSigmas


class Recording(Network):
    """Keeps the sigmas that it was called with."""

    def forward(self, x: torch.Tensor, level: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        self.sigma = level
        return super().forward(x, level)


def train(*, stop: int, resume: bool) -> Run:
    total_kimg = STEPS * BATCH / 1000
    resume_state_dump = max(Path.cwd().glob("training-state-*.pt")) if resume else None
    first = int(resume_state_dump.stem[-6:]) if resume_state_dump else 0
    net, augment_pipe = Recording(), None
    ddp = net
    loss_fn = EDMLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    # [docs] training/training_loop.py, after loss_fn has been made
    curriculum = EDMSigmas("curriculum.json", total_images=round(total_kimg * 1000))
    # [/docs]
    run = Run(curriculum)
    if resume_state_dump:
        data: dict[str, Any] = torch.load(resume_state_dump, map_location="cpu", weights_only=False)
        net.load_state_dict(data["net"].state_dict())
        optimizer.load_state_dict(data["optimizer_state"])
        # [docs] training/training_loop.py, where resume_state_dump is loaded
        curriculum.load_state_dict(data["curriculum_state"])
        # [/docs]
    cur_step = first
    for images, labels in Loader(first, stop):
        optimizer.zero_grad(set_to_none=True)
        # [docs] training/training_loop.py, where loss_fn is called
        loss = loss_fn(net=ddp, images=images, labels=labels, augment_pipe=augment_pipe, curriculum=curriculum)
        # [/docs]
        loss.sum().mul(1 / BATCH).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        run.record(net.sigma, loss.mean(), (loss / curriculum.importance.reshape(-1, 1, 1, 1)).flatten(1).mean(1))
        cur_step += 1
    snapshot: dict[str, Any] = {"ema": None, "loss_fn": loss_fn, "augment_pipe": augment_pipe, "dataset_kwargs": {}}
    with open(f"network-snapshot-{cur_step:06d}.pkl", "wb") as f:
        pickle.dump(snapshot, f)
    # [docs] training/training_loop.py, for torch.save instead of dict(net=net, ...)
    state = {"net": net, "optimizer_state": optimizer.state_dict(), "curriculum_state": curriculum.state_dict()}
    # [/docs]
    torch.save(state, f"training-state-{cur_step:06d}.pt")
    return run
