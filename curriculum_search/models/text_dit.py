"""DiT with a caption's pooled embedding in the place of the class's."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from torch import Tensor, nn

from curriculum_search.conditions import Captions, Condition, Conditions
from curriculum_search.models.captions import SeenCaptions
from curriculum_search.models.conditions import captions_of
from curriculum_search.models.dit import DiffusionTransformer, DiT


@dataclass(frozen=True, kw_only=True)
class TextDiT(DiT):
    """A `DiT` on captions: one vector for the whole caption, through an MLP, is added to the time and modulates by
    adaLN-Zero, as the class does in DiT, and as the pooled embedding does in Stable Diffusion 3.

    Cheaper than `PixArt`, whose patches look at each token.
    """

    takes_captions: ClassVar[bool] = True

    kind: Literal["text_dit"] = "text_dit"  # type: ignore[assignment]

    def build(
        self, *, channels: int, out_channels: int, resolution: int, conditions: Conditions
    ) -> DiffusionTransformer:
        captions = captions_of(conditions, self.kind)
        self.check_resolution(resolution)
        return DiffusionTransformer(self, channels, out_channels, resolution, partial(PooledEmbedder, captions))


class PooledEmbedder(nn.Module):
    """Captions to [B, hidden]."""

    def __init__(self, captions: Captions, hidden: int) -> None:
        super().__init__()
        self.captions = SeenCaptions(captions)
        width = captions.encoder.pooled_width
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, condition: Condition, x: Tensor) -> Tensor:
        embedding: Tensor = self.mlp(self.captions.pooled_of(condition, x))
        return embedding
