"""DINOv2 (Oquab et al. 2023, arXiv 2304.07193), a vision transformer trained without labels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curriculum_search.data import ImageSet
from curriculum_search.evaluation.cache import download_once, file_sha256
from curriculum_search.evaluation.features.extractor import Extractor, Features, Sources, as_rgb
from curriculum_search.torch_imports import without_values

_URL = "https://dl.fbaipublicfiles.com/dinov2/dinov2_{name}14/dinov2_{name}14_pretrain.pth"
_ADVICE = "get the file where there is a network and name it in the field `path` of extractor dinov2"
_SIDE = 224  # pixels
_PATCH = 14  # pixels
_TRAINED_GRID = 37  # patches a side for which position embeddings were trained (518 pixels)
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class Size(NamedTuple):
    """A published size of the network and the SHA-256 of its weights."""

    width: int
    depth: int
    num_heads: int
    sha256: str


SIZES = {
    "vits": Size(384, 12, 6, "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
    "vitb": Size(768, 12, 12, "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"),
    "vitl": Size(1024, 24, 16, "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"),
}


@dataclass(frozen=True, kw_only=True)
class DinoV2(Extractor):
    """The class token of a DINOv2 at 224 pixels, as dgm-eval (Stein et al. 2023, arXiv 2306.04675) and EDM2 use it.

    Attributes:
        size: "vits" (384 features), "vitb" (768) or "vitl" (1,024; the size of EDM2's published statistics).
        path: the published ``dinov2_<size>14_pretrain.pth``; None downloads it once, where there is a network.
    """

    kind: Literal["dinov2"] = "dinov2"
    size: Literal["vits", "vitb", "vitl"] = "vitl"
    path: str | None = None

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}, not {self.size}")

    @property
    def label(self) -> str:
        return "dinov2" if self.size == "vitl" else f"dinov2_{self.size}"

    def dimension(self, reference: ImageSet) -> int:
        return SIZES[self.size].width

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        if self.path is not None:
            self._verify(Path(self.path).expanduser())

    def load(self, sources: Sources) -> Features:
        size = SIZES[self.size]
        if self.path is None:
            path = download_once(_URL.format(name=self.size), size.sha256, sources.cache_dir / "weights", _ADVICE)
        else:
            path = Path(self.path).expanduser()
            self._verify(path)
        with without_values():
            network = VisionTransformer(size.width, size.depth, size.num_heads)
        state = torch.load(path, map_location=sources.device, weights_only=True)
        state.pop("mask_token", None)  # used in training only
        network.load_state_dict(state, assign=True)
        return _DinoFeatures(network.eval().requires_grad_(False), self.size)

    def _verify(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(f"path of extractor dinov2: {path} does not exist")
        if (found := file_sha256(path)) != SIZES[self.size].sha256:
            raise ValueError(
                f"path of extractor dinov2: {path} has SHA-256 {found}, not {SIZES[self.size].sha256} of "
                f"dinov2_{self.size}14_pretrain.pth. For another network use extractor torchscript"
            )


class _DinoFeatures(Features):
    def __init__(self, network: "VisionTransformer", size: str) -> None:
        self.dimension = SIZES[size].width
        self.checksum = SIZES[size].sha256
        self.words = f"DINOv2 {size}14, SHA-256 {self.checksum[:12]}"
        self._network = network

    def __call__(self, images: Tensor) -> Tensor:
        pixels = F.interpolate(as_rgb(images).float(), (_SIDE, _SIDE), mode="bicubic", antialias=True) / 255
        mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (_MEAN, _STD))
        return self._network((pixels - mean) / std)  # type: ignore[no-any-return]


class VisionTransformer(nn.Module):
    """Images [B, 3, H, W] (H, W multiples of 14) to class tokens [B, width]; names of the published state dict."""

    def __init__(self, width: int, depth: int, num_heads: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _TRAINED_GRID**2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, _PATCH, stride=_PATCH)})
        self.blocks = nn.ModuleList(Block(width, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed["proj"](x)
        positions = self._positions(x.shape[2], x.shape[3])
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1) + positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]  # type: ignore[no-any-return]

    def _positions(self, height: int, width: int) -> Tensor:
        """The trained embeddings, interpolated as published: with a scale that is a tenth of a patch too large."""
        if height == width == _TRAINED_GRID:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].transpose(1, 2).reshape(1, -1, _TRAINED_GRID, _TRAINED_GRID)
        scale = ((height + 0.1) / _TRAINED_GRID, (width + 0.1) / _TRAINED_GRID)
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], 1)


class Block(nn.Module):
    """Pre-norm attention and MLP, each with a learned scale per channel."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.ls1 = nn.ParameterDict({"gamma": torch.ones(width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls2 = nn.ParameterDict({"gamma": torch.ones(width)})
        self._num_heads = num_heads

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1["gamma"] * self._attend(self.norm1(x))
        hidden: Any = F.gelu(self.mlp["fc1"](self.norm2(x)))
        return x + self.ls2["gamma"] * self.mlp["fc2"](hidden)  # type: ignore[no-any-return]

    def _attend(self, x: Tensor) -> Tensor:
        qkv = self.attn["qkv"](x).view(*x.shape[:2], 3, self._num_heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return self.attn["proj"](mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]
