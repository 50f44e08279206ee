"""The exponential moving average of the weights, which is what gets evaluated."""

import copy
from typing import Any

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
        self._averages: list[torch.Tensor] = list(self.network.parameters())
        self._follow(network)

    @torch.no_grad()
    def update(self, network: nn.Module, *, images_seen: int, batch_size: int) -> None:
        """Move towards `network` after a step that brought the images seen to `images_seen`."""
        halflife = min(float(self.halflife_images), max(images_seen * self.rampup_share, 1e-8))
        decay = 0.5 ** (batch_size / halflife)
        if network is not self._followed:
            self._follow(network)
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        for averages, buffers, name in self._buffers:
            averages[name].copy_(buffers[name])

    def reset(self, network: nn.Module) -> None:
        """Forget the average: start again from the weights of `network`."""
        self.network.load_state_dict(network.state_dict())

    def _follow(self, network: nn.Module) -> None:
        """Find the weights and buffers of `network`: once, for in a small one that takes as long as to average them.

        A module may put another tensor in a buffer's place, so buffers are looked up by name.
        """
        self._followed = network
        self._weights: list[torch.Tensor] = list(network.parameters())
        self._buffers: list[tuple[dict[str, Any], dict[str, Any], str]] = [
            (average._buffers, module._buffers, name)
            for average, module in zip(self.network.modules(), network.modules(), strict=True)
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
