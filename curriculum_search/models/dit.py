"""DiT (Peebles & Xie 2023, arXiv 2212.09748) with adaLN-Zero.

Names and shapes of the parameters, their initialisation and the outputs are those of the published code
(facebookresearch/DiT), so that its checkpoints load here and ours load there.  The module names of this file are
therefore given, not chosen.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from curriculum_search.conditions import Condition, Conditions, class_indices
from curriculum_search.models.base import Model
from curriculum_search.models.conditions import count_classes

_TIME_FREQUENCIES = 128
_LONGEST_PERIOD = 10000.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerModel(Model):
    """What diffusion transformers have in common.

    Attributes:
        patch_size: height and width in pixels of what becomes one token; must divide the resolution.
        hidden_size: width of a token; a multiple of 4 and of num_heads.
        depth: number of blocks.
        num_heads: attention heads per block.
        mlp_ratio: width of a block's MLP over hidden_size.
    """

    patch_size: int = 2
    hidden_size: int = 384
    depth: int = 12
    num_heads: int = 6
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        for name in ("patch_size", "hidden_size", "depth", "num_heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.hidden_size % self.num_heads or self.hidden_size % 4:
            raise ValueError(
                f"hidden_size must be a multiple of 4 and of num_heads ({self.num_heads}), not {self.hidden_size}"
            )
        if int(self.hidden_size * self.mlp_ratio) < 1:
            raise ValueError(f"mlp_ratio must be positive, not {self.mlp_ratio}")

    def check_resolution(self, resolution: int) -> None:
        """Raise ValueError where patches do not tile images of this height and width."""
        if resolution % self.patch_size:
            fitting = ", ".join(str(size) for size in range(1, resolution + 1) if resolution % size == 0)
            raise ValueError(
                f"patch_size must divide the resolution {resolution}, and {self.patch_size} does not; {fitting} do"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiT(TransformerModel):
    """A diffusion transformer: the published DiT; `models.dit_weights` and `sit_weights` read weights of DiT and SiT.

    ======  =====  ===========  =========  ==============================
    preset  depth  hidden_size  num_heads  parameters (patch 2, 32x32x4)
    ======  =====  ===========  =========  ==============================
    DiT-S   12     384          6          33 M
    DiT-B   12     768          12         130 M
    DiT-L   24     1024         16         458 M
    DiT-XL  28     1152         16         675 M
    ======  =====  ===========  =========  ==============================
    """

    kind: Literal["dit"] = "dit"

    def build(
        self, *, channels: int, out_channels: int, resolution: int, conditions: Conditions
    ) -> "DiffusionTransformer":
        self.check_resolution(resolution)
        num_classes = count_classes(conditions, self.kind)
        return DiffusionTransformer(self, channels, out_channels, resolution, partial(LabelEmbedder, num_classes))


class DiffusionTransformer(nn.Module):
    """The module that `DiT` configures; see `Model.build` for its forward."""

    def __init__(
        self,
        config: DiT,
        channels: int,
        out_channels: int,
        resolution: int,
        embedder: Callable[[int], nn.Module],
    ) -> None:
        """Build it.

        Args:
            embedder: makes, for a width, what embeds the condition of a batch, as `LabelEmbedder` does.
        """
        super().__init__()
        hidden, patch = config.hidden_size, config.patch_size
        self.patch_size = patch
        self.x_embedder = PatchEmbedder(channels, hidden, patch)
        self.t_embedder = TimestepEmbedder(hidden)
        self.y_embedder = embedder(hidden)
        positions = sincos_positions(hidden, resolution // patch)
        self.pos_embed = nn.Parameter(positions, requires_grad=False)
        self.blocks = nn.ModuleList(DiTBlock(hidden, config.num_heads, config.mlp_ratio) for _ in range(config.depth))
        self.final_layer = FinalLayer(hidden, patch, out_channels)
        self._initialise()

    def forward(self, x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        modulator = self.t_embedder(time) + self.y_embedder(condition, x)
        tokens = self.x_embedder(x) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens, modulator)
        return unpatched(self.final_layer(tokens, modulator), self.patch_size, x)

    def _initialise(self) -> None:
        """Glorot, but zero where adaLN-Zero has it: a block begins as the identity, the output as 0."""
        initialise_linear(self, self.x_embedder)
        tables = [module for module in self.modules() if isinstance(module, nn.Embedding)]
        for layer in (*tables, self.t_embedder.mlp[0], self.t_embedder.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
        for module in self.modules():
            if isinstance(module, DiTBlock | FinalLayer):
                zero(module.adaLN_modulation[1])
        zero(self.final_layer.linear)


class PatchEmbedder(nn.Module):
    """[B, C, H, W] to tokens [B, H W / patch^2, hidden], row by row."""

    def __init__(self, channels: int, hidden: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, hidden, kernel_size=patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return tokens


class TimestepEmbedder(nn.Module):
    """time [B] to [B, hidden]: cosines and sines of 128 frequencies, from 1 down to almost 1 / 10000, then an MLP."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * _TIME_FREQUENCIES, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        exponents = torch.arange(_TIME_FREQUENCIES, dtype=torch.float32) / _TIME_FREQUENCIES
        # On the device from the start, but no part of the state dict, as in the published model.
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.exp(-math.log(_LONGEST_PERIOD) * exponents), persistent=False)

    def forward(self, time: Tensor) -> Tensor:
        angles = time.float()[:, None] * self.frequencies
        embedding: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()], dim=1))
        return embedding


class LabelEmbedder(nn.Module):
    """Classes to [B, hidden]; the last row is the null label's."""

    def __init__(self, num_classes: int, hidden: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embedding_table = nn.Embedding(num_classes + 1, hidden)

    def forward(self, condition: Condition, x: Tensor) -> Tensor:
        embedding: Tensor = self.embedding_table(class_indices(condition, x, self.num_classes))
        return embedding


class Attention(nn.Module):
    """Multi-head self-attention over tokens [B, N, hidden]."""

    def __init__(self, hidden: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        # [B, N, 3 hidden] -> 3 x [B, heads, N, hidden / heads]
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers with a GELU (tanh form) between."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, inner)
        self.fc2 = nn.Linear(inner, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens), approximate="tanh"))
        return out


class DiTBlock(nn.Module):
    """Attention and MLP, each shifted, scaled and gated by the condition [B, hidden]."""

    def __init__(self, hidden: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = norm(hidden)
        self.attn = Attention(hidden, num_heads)
        self.norm2 = norm(hidden)
        self.mlp = Mlp(hidden, int(hidden * mlp_ratio), hidden)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 6 * hidden))

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        modulation = self.adaLN_modulation(condition)[:, None].chunk(6, dim=2)
        shift_attn, scale_attn, gate_attn, shift_mlp, scale_mlp, gate_mlp = modulation
        tokens = tokens + gate_attn * self.attn(modulate(self.norm1(tokens), shift_attn, scale_attn))
        out: Tensor = tokens + gate_mlp * self.mlp(modulate(self.norm2(tokens), shift_mlp, scale_mlp))
        return out


class FinalLayer(nn.Module):
    """Tokens [B, N, hidden] to the pixels of their patches, [B, N, patch * patch * out_channels]."""

    def __init__(self, hidden: int, patch: int, out_channels: int) -> None:
        super().__init__()
        self.norm_final = norm(hidden)
        self.linear = nn.Linear(hidden, patch * patch * out_channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 2 * hidden))

    def forward(self, tokens: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition)[:, None].chunk(2, dim=2)
        pixels: Tensor = self.linear(modulate(self.norm_final(tokens), shift, scale))
        return pixels


def sincos_positions(hidden: int, grid: int) -> Tensor:
    """Embedding of the positions in a square grid, float32 [1, grid^2, hidden].

    Half of the channels encode the column and half the row, each half as sines and then cosines of hidden / 4
    frequencies from 1 down to almost 1 / 10000.
    """
    quarter = hidden // 4
    frequencies = _LONGEST_PERIOD ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    angles = torch.arange(grid, dtype=torch.float64)[:, None] * frequencies
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns = axis[None, :, :].expand(grid, -1, -1)
    rows = axis[:, None, :].expand(-1, grid, -1)
    return torch.cat([columns, rows], dim=2).reshape(1, grid * grid, hidden).float()


def unpatched(patches: Tensor, patch: int, x: Tensor) -> Tensor:
    """Tokens [B, N, patch * patch * out_channels] as an image as high and wide as `x`: [B, out_channels, H, W]."""
    rows, columns = x.shape[2] // patch, x.shape[3] // patch
    # Within a token the pixels come first and the channels last.
    pixels = patches.reshape(len(x), rows, columns, patch, patch, -1)
    return pixels.permute(0, 5, 1, 3, 2, 4).reshape(len(x), -1, x.shape[2], x.shape[3])


def initialise_linear(network: nn.Module, x_embedder: PatchEmbedder) -> None:
    """Glorot for all linear layers of a network and for what embeds its patches, and biases of zero."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(x_embedder.proj.weight.view(x_embedder.proj.out_channels, -1))
    nn.init.zeros_(x_embedder.proj.bias)  # type: ignore[arg-type]


def norm(hidden: int) -> nn.LayerNorm:
    """A LayerNorm without weights."""
    return nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)


def modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Tokens [B, N, hidden], scaled and shifted by [B, 1, hidden]."""
    return tokens * (1.0 + scale) + shift


def zero(layer: nn.Module) -> None:
    """Fill all that a layer learns with zeros."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
