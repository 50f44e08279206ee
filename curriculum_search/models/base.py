"""What a model configuration must offer."""

from abc import abstractmethod
from typing import ClassVar

from torch import nn

from curriculum_search.conditions import Conditions
from curriculum_search.config import Kinded
from curriculum_search.models.blocks import listed_blocks


class Model(Kinded):
    """A network architecture, built for the images and the process at hand."""

    takes_captions: ClassVar[bool] = False
    """Whether it is conditioned on captions."""

    @abstractmethod
    def build(self, *, channels: int, out_channels: int, resolution: int, conditions: Conditions) -> nn.Module:
        """A new module with ``forward(x [B, C, H, W], time float [B], condition) -> [B, out, H, W]``.

        Where a condition is hidden, and for all images where it is `Unconditional`, the network sees its null, which is
        its own to choose.

        Weights are drawn from torch's global generator and nothing else is random, so that `torch.manual_seed` before
        the call decides them all.

        Args:
            channels: of the images.
            out_channels: of the output, twice as many where a variance is learned.
            resolution: height and width of the images in pixels.
            conditions: of the images that it is trained on: how many classes there are, and the like.

        Raises:
            ValueError: the architecture does not fit ``resolution``, or cannot be conditioned on such ``conditions``.
        """

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        """The modules of a network of this kind that most of its weights are in, none inside another.

        Where weights are sharded they are gathered for one of them after the other, and with activation checkpointing
        each is computed again on the way back.  So each has to be run as a module, by calling it.

        Args:
            network: as `build` made it.

        Returns:
            The members of its ``nn.ModuleList``; a model whose blocks lie elsewhere, or are not called, has another.
        """
        return listed_blocks(network)
