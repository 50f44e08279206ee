"""Real digits, a small network, and numbers that published packages can be given too."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from curriculum_search.data import Digits, ImageSet
from curriculum_search.diffusion import DDPM
from curriculum_search.evaluation import Classifier
from curriculum_search.models import DiT

torch.set_num_threads(1)

Numbers = Callable[..., np.ndarray]


@pytest.fixture(scope="session")
def numbers() -> Numbers:
    """Numbers without pattern from a formula, so that values of other packages on them can be written down.

    float64 in [-1, 1), multiples of 2^-23, from integers alone (the mixing function of splitmix64): the same, bit for
    bit, on every processor.  Sines and powers are not, since NumPy has kernels for them that differ in the last bit.
    """

    def make(*shape: int, stream: int = 0) -> np.ndarray:
        bits = np.arange(math.prod(shape), dtype=np.uint64) + np.uint64((stream << 32) + 1)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            bits = (bits ^ bits >> np.uint64(shift)) * np.uint64(factor)
        return ((bits >> np.uint64(40)).astype(np.float64) / 2**23 - 1).reshape(shape)

    return make


@pytest.fixture(scope="session")
def pixels(numbers: Numbers) -> Callable[..., Tensor]:
    """A picture without pattern, uint8 [C, H, W], from the shape (H, W, C); the same on every processor."""

    def make(*shape: int, stream: int = 0) -> Tensor:
        return torch.from_numpy(np.floor((numbers(*shape, stream=stream) + 1) * 128)).to(torch.uint8).permute(2, 0, 1)

    return make


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """A quickly trained one."""
    return Classifier(num_features=16, training_images=4_000)


@pytest.fixture(scope="session")
def digits() -> ImageSet:
    return Digits().load()


@pytest.fixture(scope="session")
def network() -> nn.Module:
    """A small DiT for digits whose weights are all random, also where it would start at zero."""
    torch.manual_seed(0)
    config = DiT(patch_size=4, hidden_size=32, depth=1, num_heads=2)
    module = config.build(channels=1, out_channels=DDPM().out_channels(1), resolution=8, num_classes=10)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return module.eval().requires_grad_(False)
