"""The exponential moving average of the weights, which is what gets evaluated."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """A copy of a network whose weights follow it with a half-life counted in images (EDM, appendix F.2).

    Args:
        network: the network that is trained.
        halflife_images: images after which an old weight counts one half.
        rampup_share: the half-life is at most this share of the images seen, so that the start is forgotten quickly.
        copied: what becomes the averaged network; None: a copy of the other.

    Attributes:
        network: the averaged one; `whole` gives it for use.
    """

    def __init__(
        self, network: nn.Module, *, halflife_images: int, rampup_share: float, copied: nn.Module | None = None
    ) -> None:
        self.halflife_images = halflife_images
        self.rampup_share = rampup_share
        self.network = (copied or copy.deepcopy(network)).eval().requires_grad_(False)
        self._averages: list[Tensor] = list(self.network.parameters())
        self._follow(network)

    @torch.no_grad()
    def update(self, network: nn.Module, *, images_seen: int, batch_size: int) -> None:
        """Move towards `network` after a step that brought the images seen to `images_seen`."""
        halflife = min(float(self.halflife_images), max(images_seen * self.rampup_share, 1e-8))
        decay = 0.5 ** (batch_size / halflife)
        if network is not self._followed:
            self._follow(network)
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        self._copy_buffers()

    @torch.no_grad()
    def reset(self, network: nn.Module) -> None:
        """Forget the average: start again from the weights of `network`."""
        if network is not self._followed:
            self._follow(network)
        torch._foreach_copy_(self._averages, self._weights)
        self._copy_buffers()

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights, and the buffers."""
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the averages of `state_dict`."""
        self.network.load_state_dict(state)

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """The averaged network, for use within the block.  Every worker must enter and leave it."""
        yield self.network

    def _follow(self, network: nn.Module) -> None:
        """Find the weights and buffers of `network`: once, for in a small one that takes as long as to average them.

        A module may put another tensor in a buffer's place, so buffers are looked up by name.
        """
        self._followed = network
        self._weights = self._weights_of(network)
        self._buffers: list[tuple[dict[str, Any], dict[str, Any], str]] = [
            (average._buffers, module._buffers, name)
            for average, module in zip(self.network.modules(), network.modules(), strict=True)
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]

    def _weights_of(self, network: nn.Module) -> list[Tensor]:
        return list(network.parameters())

    def _copy_buffers(self) -> None:
        for averages, buffers, name in self._buffers:
            averages[name].copy_(buffers[name])
