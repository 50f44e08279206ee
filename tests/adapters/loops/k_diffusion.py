"""The form of k-diffusion's train.py, with Denoiser of its layers.py."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from adapters.loops.accelerator import Accelerator
from adapters.loops.common import BATCH, STEPS, Loader, Network, Run
from torch import Tensor

from curriculum_search.adapters import Levels
from curriculum_search.diffusion import LogNormal


class Denoiser:
    def __init__(self, inner_model: Network, sigma_data: float = 0.5) -> None:
        self.inner_model, self.sigma_data = inner_model, sigma_data

    def weighting(self, sigma: Tensor) -> Tensor:  # "snr"
        return self.sigma_data**2 / (sigma**2 + self.sigma_data**2)

    def get_scalings(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c_skip = self.sigma_data**2 / (sigma**2 + self.sigma_data**2)
        c_out = sigma * self.sigma_data / (sigma**2 + self.sigma_data**2) ** 0.5
        return c_skip, c_out, 1 / (sigma**2 + self.sigma_data**2) ** 0.5

    def loss(self, input: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        c_skip, c_out, c_in = (x.reshape(-1, 1, 1, 1) for x in self.get_scalings(sigma))
        noised_input = input + noise * sigma.reshape(-1, 1, 1, 1)
        model_output = self.inner_model(noised_input * c_in, sigma)
        target = (input - c_skip * noised_input) / c_out
        self.denoised = model_output * c_out + noised_input * c_skip  # for the test
        losses: Tensor = ((model_output - target) ** 2).flatten(1).mean(1) * self.weighting(sigma)
        return losses


def train(*, stop: int, resume: bool) -> Run:
    args = SimpleNamespace(end_step=STEPS, batch_size=BATCH)
    model_config: dict[str, Any] = {"sigma_sample_density": {"type": "lognormal", "mean": -1.2, "std": 1.2}}
    accelerator, device = Accelerator(), torch.device("cpu")
    inner_model = Network()
    opt = torch.optim.AdamW(inner_model.parameters())
    model = Denoiser(inner_model)
    # [docs] train.py, instead of sample_density (density: of type lognormal in the config; --end-step has to be given)
    ordinary = model_config["sigma_sample_density"]
    curriculum = Levels(
        "curriculum.json",
        "edm",
        density=LogNormal(mean=ordinary["mean"], std=ordinary["std"]),
        total_images=args.end_step * args.batch_size * accelerator.num_processes,
    )
    # [/docs]
    run, step = Run(curriculum), 0
    if resume:
        ckpt = torch.load(max(Path.cwd().glob("*.pth")), map_location="cpu")
        inner_model.load_state_dict(ckpt["model"])
        opt.load_state_dict(ckpt["opt"])
        step = ckpt["step"] + 1
        # [docs] train.py, where ckpt is loaded
        curriculum.load_state_dict(ckpt["curriculum"])
        # [/docs]
    for reals, _ in Loader(step, stop):
        noise = torch.randn_like(reals)
        # [docs] train.py, instead of the two lines with sigma = sample_density(...)
        sigma = curriculum.levels(reals.shape[0], device)
        # [/docs]
        losses = model.loss(reals, noise, sigma)
        weighted = losses.detach()
        # [docs] train.py, before accelerator.backward(losses.mean())
        _, c_out, _ = model.get_scalings(sigma)
        curriculum.observe(losses * c_out**2 / model.weighting(sigma))
        losses = losses * curriculum.importance
        # [/docs]
        loss = losses.mean()
        loss.backward()  # type: ignore[no-untyped-call]
        opt.step()
        opt.zero_grad()
        run.record(sigma, loss, weighted)
        step += 1
    obj = {
        "model": inner_model.state_dict(),
        "opt": opt.state_dict(),
        "step": step - 1,
        # [docs] train.py, in obj of save
        "curriculum": curriculum.state_dict(),
        # [/docs]
    }
    torch.save(obj, f"model_{step:08}.pth")
    return run
