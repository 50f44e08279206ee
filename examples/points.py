"""No images: a flow in the plane, from noise to two half-moons.  Only noise levels matter to a study.

``python jobs/search.py examples/points.yaml``
"""

import torch
from digits import Network
from sklearn.datasets import make_moons
from torch import Tensor

from curriculum_search.trainers import Run


def moons(count: int, seed: int) -> Tensor:
    """Points float32 [count, 2] with about unit spread."""
    points, _ = make_moons(count, noise=0.05, random_state=seed)
    return torch.from_numpy(points).float() - torch.tensor([0.5, 0.25])


def energy_distance(a: Tensor, b: Tensor) -> float:
    """How far apart two sets of points are; less is better."""
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())


@torch.no_grad()
def generate(model: Network, count: int, num_steps: int = 20) -> Tensor:
    """Points from noise, by Euler's method."""
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(0))
    for step in range(num_steps):
        x = x - model(x, torch.full((count,), 1 - step / num_steps)) / num_steps
    return x


def train(run: Run) -> None:
    """Trains a velocity field; q, the share of noise, is all that it takes from the study."""
    data, held_out = moons(4096, seed=1), moons(1000, seed=2)
    model = Network(dim=2, width=64, depth=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.params["lr"])
    sampler = run.levels("flow")
    if (state := run.restore()) is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    while not run.should_stop:
        generator = torch.Generator().manual_seed(run.seed * 1_000_003 + run.images_seen)
        x = data[torch.randint(len(data), (run.batch_size,), generator=generator)]
        noise = torch.randn(x.shape, generator=generator)
        q = sampler.levels(len(x), run.device)
        velocity = model((1 - q[:, None]) * x + q[:, None] * noise, q)
        losses = (velocity - (noise - x)).square().mean(1)
        sampler.observe(losses)
        optimizer.zero_grad()
        (losses * sampler.importance).mean().backward()
        optimizer.step()
        if run.report_is_due:
            metrics = {"energy_distance": energy_distance(generate(model, 1000), held_out)}
            checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            run.report(images=run.images_seen, metrics=metrics, checkpoint=checkpoint)
