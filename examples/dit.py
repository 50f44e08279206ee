"""DiT's form of training: a `diffusion` object, timesteps t, and an averaged copy of the model.

What a study adds are the lines that say so.  ``python jobs/search.py examples/dit.yaml``
"""

import itertools
from copy import deepcopy
from typing import Any

import torch
from digits import Batches, Network, distance, load
from torch import Tensor

from curriculum_search.trainers import Run


class GaussianDiffusion:
    """Noise prediction at discrete timesteps."""

    def __init__(self, num_timesteps: int = 1000) -> None:
        self.num_timesteps = num_timesteps
        betas = torch.linspace(1e-4, 0.02, num_timesteps, dtype=torch.float64)
        self.alphas_cumprod = (1 - betas).cumprod(0)

    def q_sample(self, x_start: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Noised images."""
        alpha = self.alphas_cumprod[t].float().reshape(-1, 1, 1, 1)
        return alpha.sqrt() * x_start + (1 - alpha).sqrt() * noise

    def training_losses(self, model: Network, x_start: Tensor, t: Tensor, model_kwargs: Any) -> dict[str, Tensor]:
        """The loss of each sample."""
        noise = torch.randn_like(x_start)
        output = model(self.q_sample(x_start, t, noise), t / self.num_timesteps, **model_kwargs)
        return {"loss": (output - noise).square().flatten(1).mean(1)}

    @torch.no_grad()
    def ddim_sample_loop(self, model: Network, noise: Tensor, y: Tensor, num_steps: int = 10) -> Tensor:
        """Images from noise."""
        x, steps = noise, torch.linspace(self.num_timesteps - 1, 0, num_steps + 1).long()
        for now, then in itertools.pairwise(steps):
            a, b = self.alphas_cumprod[now].float(), self.alphas_cumprod[then].float()
            eps = model(x, now.repeat(len(x)) / self.num_timesteps, y)
            x = b.sqrt() * ((x - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1) + (1 - b).sqrt() * eps
        return x


def train(run: Run) -> None:  # a study calls this
    images, labels, held_out = load()
    model, diffusion = Network(), GaussianDiffusion()
    ema = deepcopy(model).requires_grad_(False)
    opt = torch.optim.AdamW(model.parameters(), lr=run.params["lr"], weight_decay=0)
    sampler = run.schedule_sampler(diffusion)  # added
    batches = Batches(images, labels, run.batch_size, run.seed)
    if (state := run.restore()) is not None:  # added: an interrupted run goes on
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        opt.load_state_dict(state["opt"])
        batches.position = state["position"]
    while not run.should_stop:  # instead of a number of epochs
        x, y = batches.next()
        t, weights = sampler.sample(x.shape[0], run.device)  # instead of t = torch.randint(...)
        loss_dict = diffusion.training_losses(model, x, t, {"y": y})
        sampler.observe(loss_dict["loss"])  # added
        loss = (loss_dict["loss"] * weights).mean()  # instead of loss_dict["loss"].mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        for average, parameter in zip(ema.parameters(), model.parameters(), strict=True):
            average.lerp_(parameter.detach(), 0.01)
        if run.report_is_due:  # added, as often as training.num_evaluations says
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(300, 1, 8, 8, generator=generator)
            samples = diffusion.ddim_sample_loop(ema, noise, torch.arange(300) % 10)
            run.report(
                images=run.images_seen,
                metrics={"fd": distance(samples, held_out)},
                checkpoint={
                    "model": model.state_dict(),
                    "ema": ema.state_dict(),
                    "opt": opt.state_dict(),
                    "position": batches.position,
                },
            )
