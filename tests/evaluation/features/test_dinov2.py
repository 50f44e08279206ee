"""The published weights cannot be had without a network; everything but their values is tested."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from support.arrays import Numbers

from curriculum_search.data import MemoryImages
from curriculum_search.evaluation import DinoV2, Sources
from curriculum_search.evaluation.cache import file_sha256
from curriculum_search.evaluation.features import dinov2
from curriculum_search.evaluation.features.dinov2 import Size, VisionTransformer


@pytest.fixture
def filled(numbers: Numbers) -> VisionTransformer:
    """A narrow network with weights from a formula, as given to transformers' Dinov2Model too."""
    network = VisionTransformer(64, 2, 4).eval().requires_grad_(False)
    for i, (name, value) in enumerate(sorted(network.state_dict().items())):
        weights = torch.from_numpy(numbers(*value.shape, stream=i)).float()
        if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "gamma")):
            weights = 1 + weights / 4
        elif name == "patch_embed.proj.weight" or (value.ndim > 1 and "embed" not in name and "token" not in name):
            weights = weights * 2 / math.sqrt(value[0].numel())
        value.copy_(weights)
    return network


def test_class_tokens_agree_with_transformers(filled: VisionTransformer, numbers: Numbers) -> None:
    with torch.no_grad():
        tokens = filled(torch.from_numpy(numbers(2, 3, 518, 518, stream=1000)).float())
    # Dinov2Model of transformers 5.23.0 with the same weights, at the size where no position is interpolated.
    found = [tokens[0, 0], tokens[0, 63], tokens[1, 0], tokens[1, 31], tokens.std()]
    assert found == pytest.approx([2.261209, -1.455218, 2.276594, 0.569694, 1.238218], rel=1e-4)


def test_positions_are_interpolated_with_the_published_tenth_of_a_patch(filled: VisionTransformer) -> None:
    found = filled._positions(16, 16)
    assert found.shape == (1, 257, 64)
    assert torch.equal(found[:, 0], filled.pos_embed[:, 0])
    # Patch i of 16 lies at (i + 0.5) * 37 / 16.1 - 0.5; Keys' cubic with a = -0.75 between the four nearest.
    grid = filled.pos_embed[0, 1:].view(37, 37, 64)
    y, x = 5, 11
    expected = torch.zeros(64)
    for row, a in _cubic((y + 0.5) * 37 / 16.1 - 0.5):
        for column, b in _cubic((x + 0.5) * 37 / 16.1 - 0.5):
            expected += a * b * grid[row, column]
    torch.testing.assert_close(found[0, 1 + y * 16 + x], expected, rtol=1e-4, atol=1e-5)


def _cubic(place: float) -> list[tuple[int, float]]:
    low, a = math.floor(place), -0.75
    weights = []
    for i in range(low - 1, low + 3):
        t = abs(place - i)
        near = (a + 2) * t**3 - (a + 3) * t**2 + 1
        far = a * (t**3 - 5 * t**2 + 8 * t - 4)
        weights.append((i, near if t <= 1 else far))
    return weights


def test_names_and_shapes_are_those_of_the_published_state_dict() -> None:
    with torch.device("meta"):
        size = dinov2.SIZES["vitl"]
        state = VisionTransformer(size.width, size.depth, size.num_heads).state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert len(shapes) == 342  # the published file has mask_token besides
    expected = {
        "cls_token": (1, 1, 1024),
        "pos_embed": (1, 1370, 1024),
        "patch_embed.proj.weight": (1024, 3, 14, 14),
        "blocks.0.norm1.weight": (1024,),
        "blocks.0.attn.qkv.weight": (3072, 1024),
        "blocks.0.attn.proj.bias": (1024,),
        "blocks.0.ls1.gamma": (1024,),
        "blocks.23.mlp.fc1.weight": (4096, 1024),
        "blocks.23.mlp.fc2.bias": (1024,),
        "blocks.23.ls2.gamma": (1024,),
        "norm.weight": (1024,),
    }
    assert {name: shapes.get(name) for name in expected} == expected


def test_a_state_dict_is_loaded_and_images_are_normalised_for_it(
    filled: VisionTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: MemoryImages
) -> None:
    path = tmp_path / "dinov2_vits14_pretrain.pth"
    torch.save(filled.state_dict() | {"mask_token": torch.zeros(1, 64)}, path)
    monkeypatch.setitem(dinov2.SIZES, "vits", Size(64, 2, 4, file_sha256(path)))
    sources = Sources(train=digits, reference=digits, device=torch.device("cpu"), cache_dir=tmp_path)
    extractor = DinoV2(size="vits", path=str(path))
    extractor.check(digits, digits)
    images = torch.arange(2 * 3 * 28 * 28, dtype=torch.int64).remainder(256).to(torch.uint8).view(2, 3, 28, 28)
    with torch.no_grad():
        found = extractor.load(sources)(images)
        pixels = F.interpolate(images.float(), (224, 224), mode="bicubic", antialias=True) / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        expected = filled((pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1))
    torch.testing.assert_close(found, expected)
    assert found.shape == (2, extractor.dimension(digits))
