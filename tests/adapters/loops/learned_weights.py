"""A loop of one's own, with loss weights that are learned beside the network."""

from pathlib import Path

import torch
from adapters.loops.common import BATCH, STEPS, Loader, Network, Run, mean_flat, square_error

from curriculum_search.adapters import LearnedWeights, Levels


def train(*, stop: int, resume: bool) -> Run:
    device = torch.device("cpu")
    model = Network().to(device)
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1)
    # [docs] after the optimiser has been made, before it is restored
    weights = LearnedWeights("curriculum.json").to(device)
    opt.add_param_group({"params": weights.parameters(), "lr": weights.learning_rate, "weight_decay": 0.0})
    # [/docs]
    curriculum = Levels("curriculum.json", "flow", total_images=STEPS * BATCH)
    run, first = Run(curriculum), 0
    if resume:
        path = max(Path.cwd().glob("*.pt"))
        checkpoint, first = torch.load(path), int(path.stem)
        model.load_state_dict(checkpoint["model"])
        # [docs] where a checkpoint is restored
        weights.load_state_dict(checkpoint["weights"])
        # [/docs]
        opt.load_state_dict(checkpoint["opt"])
        curriculum.load_state_dict(checkpoint["curriculum"])
    for x, _ in Loader(first, stop):
        t = curriculum.levels(x.shape[0], device)
        losses = mean_flat(square_error(model, x, t, t))
        # [docs] instead of loss = losses.mean(); losses are [batch_size], and have no weight yet
        curriculum.observe(losses)
        loss = (weights(losses, curriculum.log_snr) * curriculum.importance).mean()
        # [/docs]
        opt.zero_grad()
        loss.backward()
        opt.step()
        run.record(t, loss, losses)
        first += 1
    checkpoint = {
        "model": model.state_dict(),
        "opt": opt.state_dict(),
        "curriculum": curriculum.state_dict(),
        # [docs] in what a checkpoint is made of
        "weights": weights.state_dict(),
        # [/docs]
    }
    torch.save(checkpoint, f"{first:07d}.pt")
    return run
