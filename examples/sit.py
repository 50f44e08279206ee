"""SiT's form of training: a `transport` that draws its own times, t from noise to data, and predicts the velocity.

What a study adds are the lines that say so.  ``python jobs/search.py examples/sit.yaml``
"""

from typing import Any

import torch
from digits import Batches, Network, distance, load
from torch import Tensor

from curriculum_search.adapters import SiTTimes
from curriculum_search.trainers import Run


class Transport:
    """A linear path, x_t = t x1 + (1 - t) x0 from noise x0 to data x1."""

    curriculum: SiTTimes  # added

    def sample(self, x1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Times, noise and data."""
        x0 = torch.randn_like(x1)
        t0, t1 = 0.0, 1.0
        t = self.curriculum.times(x1.shape[0], x1.device, t0, t1)  # instead of t = torch.rand(...) * (t1 - t0) + t0
        return t, x0, x1

    def training_losses(self, model: Network, x1: Tensor, model_kwargs: Any) -> dict[str, Tensor]:
        """The loss of each sample."""
        t, x0, x1 = self.sample(x1)
        at = t.reshape(-1, 1, 1, 1)
        velocity = model(at * x1 + (1 - at) * x0, t, **model_kwargs)
        return {"loss": (velocity - (x1 - x0)).square().flatten(1).mean(1)}

    @torch.no_grad()
    def sample_ode(self, model: Network, noise: Tensor, y: Tensor, num_steps: int = 10) -> Tensor:
        """Images from noise, by Euler's method."""
        x = noise
        for step in range(num_steps):
            x = x + model(x, torch.full((len(x),), step / num_steps), y) / num_steps
        return x


def train(run: Run) -> None:  # a study calls this
    images, labels, held_out = load()
    model, transport = Network(), Transport()
    opt = torch.optim.AdamW(model.parameters(), lr=run.params["lr"], weight_decay=0)
    transport.curriculum = run.sit_times()  # added
    batches = Batches(images, labels, run.batch_size, run.seed)
    if (state := run.restore()) is not None:  # added: an interrupted run goes on
        model.load_state_dict(state["model"])
        opt.load_state_dict(state["opt"])
        batches.position = state["position"]
    while not run.should_stop:  # instead of a number of epochs
        x, y = batches.next()
        loss_dict = transport.training_losses(model, x, {"y": y})
        transport.curriculum.observe(loss_dict["loss"])  # added
        loss = (loss_dict["loss"] * transport.curriculum.importance).mean()  # instead of loss_dict["loss"].mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if run.report_is_due:  # added, as often as training.num_evaluations says
            noise = torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))
            samples = transport.sample_ode(model, noise, torch.arange(300) % 10)
            checkpoint = {"model": model.state_dict(), "opt": opt.state_dict(), "position": batches.position}
            metrics = {"fd": distance(samples, held_out)}
            run.report(images=run.images_seen, metrics=metrics, checkpoint=checkpoint)
