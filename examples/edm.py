"""EDM's form of training: a preconditioned network, and a loss object that draws its own sigmas.

What a study adds are the lines that say so.  ``python jobs/search.py examples/edm.yaml``
"""

import itertools

import torch
from digits import Batches, Network, distance, load
from torch import Tensor, nn

from curriculum_search.adapters import EDMSigmas
from curriculum_search.trainers import Run


class EDMPrecond(nn.Module):
    """The denoiser D(x; sigma) around the raw network."""

    def __init__(self, sigma_data: float = 0.5) -> None:
        super().__init__()
        self.sigma_data = sigma_data
        self.model = Network()

    def forward(self, x: Tensor, sigma: Tensor, class_labels: Tensor) -> Tensor:
        """Denoised images."""
        sigma = sigma.reshape(-1, 1, 1, 1)
        norm = (sigma**2 + self.sigma_data**2).sqrt()
        c_skip, c_out = self.sigma_data**2 / norm**2, sigma * self.sigma_data / norm
        raw: Tensor = self.model(x / norm, sigma.flatten().log() / 4, class_labels)
        return c_skip * x + c_out * raw


class EDMLoss:
    """The weighted denoising loss."""

    def __init__(self, sigma_data: float = 0.5) -> None:
        self.sigma_data = sigma_data

    def __call__(self, net: EDMPrecond, images: Tensor, labels: Tensor, curriculum: EDMSigmas) -> Tensor:
        sigma = curriculum.sigmas(images.shape[0], images.device)  # instead of (rnd_normal * P_std + P_mean).exp()
        weight = (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2
        y = images
        D_yn = net(y + torch.randn_like(y) * sigma, sigma, labels)  # noqa: N806  (as EDM calls it)
        loss = weight * ((D_yn - y) ** 2)
        curriculum.observe(((D_yn - y) ** 2).flatten(1).mean(1))  # added
        return loss * curriculum.importance.reshape(-1, 1, 1, 1)  # instead of loss


@torch.no_grad()
def edm_sampler(net: EDMPrecond, latents: Tensor, class_labels: Tensor, num_steps: int = 8) -> Tensor:
    """Images from noise, by Heun's method."""
    steps = torch.linspace(1, 0, num_steps)
    sigmas = [*((0.02 ** (1 / 7) + steps * (20 ** (1 / 7) - 0.02 ** (1 / 7))) ** 7), torch.tensor(0.0)]
    x = latents * sigmas[0]
    for now, then in itertools.pairwise(sigmas):
        slope = (x - net(x, now.repeat(len(x)), class_labels)) / now
        ahead = x + (then - now) * slope
        if then > 0:
            slope = (slope + (ahead - net(ahead, then.repeat(len(x)), class_labels)) / then) / 2
        x = x + (then - now) * slope
    return x


def train(run: Run) -> None:  # a study calls this
    images, labels, held_out = load()
    net, loss_fn = EDMPrecond(), EDMLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=run.params["lr"], betas=(0.9, 0.999))
    curriculum = run.edm_sigmas()  # added
    dataset = Batches(images, labels, run.batch_size, run.seed)
    if (state := run.restore()) is not None:  # added: an interrupted run goes on
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        dataset.position = state["position"]
    while not run.should_stop:  # instead of total_kimg
        batch, classes = dataset.next()
        optimizer.zero_grad(set_to_none=True)
        loss = loss_fn(net, batch, classes, curriculum)
        loss.sum().mul(1 / run.batch_size).backward()
        optimizer.step()
        if run.report_is_due:  # added, as often as training.num_evaluations says
            latents = torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))
            samples = edm_sampler(net, latents, torch.arange(300) % 10)
            checkpoint = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "position": dataset.position}
            metrics = {"fd": distance(samples, held_out)}
            run.report(images=run.images_seen, metrics=metrics, checkpoint=checkpoint)
