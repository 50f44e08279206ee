"""The exponential moving average of the weights, which is what gets evaluated."""

import copy

import torch
from torch import nn


class Ema:
    """A copy of a network whose weights follow it with a half-life counted in images (EDM, appendix F.2).

    Args:
        network: the network that is trained.
        halflife_images: images after which an old weight counts one half.
        rampup_share: the half-life is at most this share of the images seen, so that the start is forgotten quickly.
    """

    def __init__(self, network: nn.Module, *, halflife_images: int, rampup_share: float) -> None:
        self.halflife_images = halflife_images
        self.rampup_share = rampup_share
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, *, images_seen: int, batch_size: int) -> None:
        """Move towards `network` after a step that brought the images seen to `images_seen`."""
        halflife = min(float(self.halflife_images), max(images_seen * self.rampup_share, 1e-8))
        decay = 0.5 ** (batch_size / halflife)
        averages: list[torch.Tensor] = list(self.network.parameters())
        weights: list[torch.Tensor] = list(network.parameters())
        torch._foreach_lerp_(averages, weights, 1 - decay)
        for average, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(buffer)

    def reset(self, network: nn.Module) -> None:
        """Forget the average: start again from the weights of `network`."""
        self.network.load_state_dict(network.state_dict())
