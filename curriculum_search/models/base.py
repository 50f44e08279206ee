"""What a model configuration must offer."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from curriculum_search.config import Kinded


class Model(Kinded):
    """A network architecture, built for the images and the process at hand."""

    @abstractmethod
    def build(self, *, channels: int, out_channels: int, resolution: int, num_classes: int) -> nn.Module:
        """A new module with ``forward(x [B, C, H, W], time float [B], labels int64 [B] | None) -> [B, out, H, W]``.

        Label ``num_classes`` is the null label of classifier-free guidance, and labels None stand for it; with
        num_classes = 0 there is no other.  Dropping labels in training is the caller's part.

        Weights are drawn from torch's global generator and nothing else is random, so that `torch.manual_seed` before
        the call decides them all.

        Args:
            channels: of the images.
            out_channels: of the output, twice as many where a variance is learned.
            resolution: height and width of the images in pixels.
            num_classes: 0 for an unconditional model.

        Raises:
            ValueError: the architecture does not fit ``resolution``.
        """


def label_indices(labels: Tensor | None, x: Tensor, num_classes: int) -> Tensor:
    """``labels``, or null labels int64 [B] for the batch ``x`` where there are none."""
    if labels is not None:
        return labels
    return torch.full((len(x),), num_classes, device=x.device, dtype=torch.int64)
