"""The form of EDM's training/loss.py.  Nothing here imports this project, as nothing does there."""

from typing import Any

import torch
from torch import Tensor


class EDMLoss:
    def __init__(self, sigma_data: float = 0.5) -> None:
        self.sigma_data = sigma_data

    def __call__(self, net: Any, images: Tensor, labels: Tensor, augment_pipe: Any, curriculum: Any) -> Tensor:
        # [docs] training/loss.py, EDMLoss.__call__ with the argument curriculum: for rnd_normal, sigma
        sigma = curriculum.sigmas(images.shape[0], images.device)
        # [/docs]
        weight = (sigma**2 + self.sigma_data**2) / (sigma * self.sigma_data) ** 2
        y = augment_pipe(images) if augment_pipe is not None else images
        n = torch.randn_like(y) * sigma
        D_yn = net(y + n, sigma, labels)  # noqa: N806
        loss: Tensor = weight * ((D_yn - y) ** 2)
        # [docs] training/loss.py, there, before the return
        curriculum.observe(((D_yn - y) ** 2).flatten(1).mean(1))
        loss = loss * curriculum.importance.reshape(-1, 1, 1, 1)
        # [/docs]
        return loss  # noqa: RET504
