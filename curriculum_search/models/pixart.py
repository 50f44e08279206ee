"""PixArt-alpha (Chen et al. 2024, arXiv 2310.00426): DiT with cross-attention to a caption's tokens, and adaLN-single.

Names and shapes of the parameters, their initialisation and the outputs are those of the published code, whose learned
null is here the empty caption.  The module names of this file are therefore given, not chosen.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curriculum_search.conditions import Captions, Condition, Conditions
from curriculum_search.models.captions import SeenCaptions
from curriculum_search.models.conditions import captions_of
from curriculum_search.models.dit import (
    Attention,
    Mlp,
    PatchEmbedder,
    TimestepEmbedder,
    TransformerModel,
    initialise_linear,
    modulate,
    norm,
    sincos_positions,
    unpatched,
    zero,
)


@dataclass(frozen=True, kw_only=True)
class PixArt(TransformerModel):
    """A diffusion transformer on captions, PixArt-alpha's: in each block patches look at each other and then, by
    cross-attention, at the caption's tokens; the time modulates by adaLN-single, which all blocks share.

    PixArt-alpha has patch 2, width 1152, depth 28, 16 heads, on latents of 256x256 images and 120 tokens of T5-XXL.
    """

    takes_captions: ClassVar[bool] = True

    kind: Literal["pixart"] = "pixart"

    def build(self, *, channels: int, out_channels: int, resolution: int, conditions: Conditions) -> "PixArtNetwork":
        captions = captions_of(conditions, self.kind)
        self.check_resolution(resolution)
        return PixArtNetwork(self, channels, out_channels, resolution, captions)


class PixArtNetwork(nn.Module):
    """The module that `PixArt` configures; see `Model.build` for its forward."""

    def __init__(self, config: PixArt, channels: int, out_channels: int, resolution: int, captions: Captions) -> None:
        super().__init__()
        hidden, patch = config.hidden_size, config.patch_size
        self.patch_size = patch
        self.x_embedder = PatchEmbedder(channels, hidden, patch)
        self.t_embedder = TimestepEmbedder(hidden)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 6 * hidden))
        self.y_embedder = CaptionEmbedder(captions, hidden)
        self.pos_embed: Tensor
        self.register_buffer("pos_embed", sincos_positions(hidden, resolution // patch))
        self.blocks = nn.ModuleList(
            PixArtBlock(hidden, config.num_heads, config.mlp_ratio) for _ in range(config.depth)
        )
        self.final_layer = SharedFinalLayer(hidden, patch, out_channels)
        self._initialise()

    def forward(self, x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        modulator = self.t_embedder(time)
        shared = self.t_block(modulator)
        text, mask = self.y_embedder(condition, x)
        tokens = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens, text, mask, shared)
        return unpatched(self.final_layer(tokens, modulator), self.patch_size, x)

    def _initialise(self) -> None:
        """Glorot, but small where the published code has it; what comes of the caption, and the output, begin as 0."""
        initialise_linear(self, self.x_embedder)
        projection = self.y_embedder.y_proj
        for layer in (*self.t_embedder.mlp, *self.t_block, projection.fc1, projection.fc2):
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
        for block in self.blocks:
            assert isinstance(block, PixArtBlock)
            zero(block.cross_attn.proj)
        zero(self.final_layer.linear)


class CaptionEmbedder(nn.Module):
    """Captions to tokens [B, T, hidden], and which of them are there, bool [B, T]."""

    def __init__(self, captions: Captions, hidden: int) -> None:
        super().__init__()
        self.captions = SeenCaptions(captions)
        self.y_proj = Mlp(captions.encoder.width, hidden, hidden)

    def forward(self, condition: Condition, x: Tensor) -> tuple[Tensor, Tensor]:
        tokens, mask = self.captions.tokens_of(condition, x)
        return self.y_proj(tokens), mask


class CrossAttention(nn.Module):
    """Multi-head attention of tokens [B, N, hidden] to those of a text [B, T, hidden] that are there, bool [B, T]."""

    def __init__(self, hidden: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_linear = nn.Linear(hidden, hidden)
        self.kv_linear = nn.Linear(hidden, 2 * hidden)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, tokens: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        # [B, N, hidden] -> [B, heads, N, hidden / heads], and the same twice of the text
        query = self.q_linear(tokens).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        key, value = self.kv_linear(text).unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class PixArtBlock(nn.Module):
    """Self-attention, cross-attention and MLP; the first and the last are modulated by adaLN-single [B, 6 hidden]."""

    def __init__(self, hidden: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = norm(hidden)
        self.attn = Attention(hidden, num_heads)
        self.cross_attn = CrossAttention(hidden, num_heads)
        self.norm2 = norm(hidden)
        self.mlp = Mlp(hidden, int(hidden * mlp_ratio), hidden)
        self.scale_shift_table = nn.Parameter(torch.randn(6, hidden) / math.sqrt(hidden))

    def forward(self, tokens: Tensor, text: Tensor, mask: Tensor, shared: Tensor) -> Tensor:
        modulation = (self.scale_shift_table + shared.view(len(shared), 6, -1)).chunk(6, dim=1)
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = modulation
        tokens = tokens + gate_attn * self.attn(modulate(self.norm1(tokens), shift_attn, scale_attn))
        tokens = tokens + self.cross_attn(tokens, text, mask)
        out: Tensor = tokens + gate_mlp * self.mlp(modulate(self.norm2(tokens), shift_mlp, scale_mlp))
        return out


class SharedFinalLayer(nn.Module):
    """Tokens [B, N, hidden] to the pixels of their patches, [B, N, patch * patch * out_channels]."""

    def __init__(self, hidden: int, patch: int, out_channels: int) -> None:
        super().__init__()
        self.norm_final = norm(hidden)
        self.linear = nn.Linear(hidden, patch * patch * out_channels)
        self.scale_shift_table = nn.Parameter(torch.randn(2, hidden) / math.sqrt(hidden))

    def forward(self, tokens: Tensor, modulator: Tensor) -> Tensor:
        shift, scale = (self.scale_shift_table + modulator[:, None]).chunk(2, dim=1)
        pixels: Tensor = self.linear(modulate(self.norm_final(tokens), shift, scale))
        return pixels
