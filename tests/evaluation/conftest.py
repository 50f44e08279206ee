"""Real digits, a small network, and numbers that published packages can be given too."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from curriculum_search.data import Digits, ImageSet
from curriculum_search.diffusion import DDPM
from curriculum_search.evaluation import Classifier
from curriculum_search.models import DiT

torch.set_num_threads(1)

Wave = Callable[..., np.ndarray]


@pytest.fixture
def wave() -> Wave:
    """Numbers without pattern from a formula, so that values of other packages on them can be written down."""

    def make(*shape: int, step: float = 0.7, start: float = 0.0) -> np.ndarray:
        return np.sin(start + step * np.arange(math.prod(shape), dtype=np.float64) ** 1.1).reshape(shape)

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
