"""The convolutional UNet of DDPM, from the diffusers library (an optional extra)."""

import dataclasses
import math
from typing import Any, Literal

from torch import Tensor, nn

from curriculum_search.conditions import Condition, Conditions, class_indices
from curriculum_search.models.base import Model
from curriculum_search.models.conditions import count_classes

_MOST_NORM_GROUPS = 32
_HEAD_CHANNELS = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNet(Model):
    """diffusers' UNet2DModel: residual blocks at resolutions halved from level to level, with skip connections.

    Needs ``pip install curriculum-search[unet]``.

    Attributes:
        block_channels: channels at each level, from the full resolution down; multiples of 4.  Each further level
            halves the resolution, which 2^(levels - 1) must divide.
        layers_per_block: residual blocks per level.
        attention: the levels with self-attention, 0 being the full resolution; the bottleneck always has it.
        dropout: probability inside the residual blocks.
    """

    kind: Literal["unet"] = "unet"
    block_channels: tuple[int, ...] = (128, 256, 256, 256)
    layers_per_block: int = 2
    attention: tuple[int, ...] = (1,)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not self.block_channels or any(c < 4 or c % 4 for c in self.block_channels):
            raise ValueError(f"block_channels must be positive multiples of 4, not {self.block_channels}")
        if self.layers_per_block < 1:
            raise ValueError(f"layers_per_block must be at least 1, not {self.layers_per_block}")
        if not set(self.attention) <= set(range(len(self.block_channels))):
            raise ValueError(f"attention must name levels 0 .. {len(self.block_channels) - 1}, not {self.attention}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), not {self.dropout}")

    def build(
        self, *, channels: int, out_channels: int, resolution: int, conditions: Conditions
    ) -> "ConvolutionalUNet":
        coarsest = 2 ** (len(self.block_channels) - 1)
        if resolution % coarsest:
            raise ValueError(
                f"block_channels with {len(self.block_channels)} levels needs a resolution divisible by {coarsest}, "
                f"not {resolution}"
            )
        return ConvolutionalUNet(self, channels, out_channels, resolution, count_classes(conditions, self.kind))


class ConvolutionalUNet(nn.Module):
    """The module that `UNet` configures; see `Model.build` for its forward."""

    def __init__(self, config: UNet, channels: int, out_channels: int, resolution: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        attends = [level in config.attention for level in range(len(config.block_channels))]
        groups = math.gcd(_MOST_NORM_GROUPS, *config.block_channels)
        self.unet: nn.Module = _unet_class()(
            sample_size=resolution,
            in_channels=channels,
            out_channels=out_channels,
            block_out_channels=config.block_channels,
            layers_per_block=config.layers_per_block,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
            attention_head_dim=math.gcd(_HEAD_CHANNELS, *config.block_channels),
            norm_num_groups=groups,
            dropout=config.dropout,
            num_class_embeds=num_classes + 1 if num_classes else None,
        )

    def forward(self, x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        classes = class_indices(condition, x, self.num_classes) if self.num_classes else None
        out: Tensor = self.unet(x, time, class_labels=classes, return_dict=False)[0]
        return out


def _unet_class() -> Any:
    try:
        from diffusers import UNet2DModel
    except ImportError as error:
        raise ValueError("model kind unet needs the diffusers library: pip install curriculum-search[unet]") from error
    return UNet2DModel
