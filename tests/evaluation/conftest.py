"""Real digits, a small network, and numbers that published packages can be given too."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.arrays import MakePicture, Numbers
from support.conditions import of_classes
from torch import Tensor

from curriculum_search.data import Digits, MemoryImages
from curriculum_search.diffusion import DDPM, DDIMSampler, Network
from curriculum_search.evaluation import (
    Classifier,
    Evaluation,
    Frechet,
    InceptionScore,
    KernelDistance,
    Pixels,
    PrecisionRecall,
    ValidationLoss,
    evaluate,
)
from curriculum_search.evaluation.evaluation import EvaluationRun
from curriculum_search.evaluation.report import Table
from curriculum_search.models import DiT

torch.set_num_threads(1)

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def numbers() -> Numbers:
    """Numbers without pattern from a formula, so that values of other packages on them can be written down.

    float64 in [-1, 1), multiples of 2^-23, from integers alone (the mixing function of splitmix64): the same, bit for
    bit, on every processor.  Sines and powers are not, since NumPy has kernels for them that differ in the last bit.
    """

    def make(*shape: int, stream: int = 0) -> NDArray[np.float64]:
        bits = np.arange(math.prod(shape), dtype=np.uint64) + np.uint64((stream << 32) + 1)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            bits = (bits ^ bits >> np.uint64(shift)) * np.uint64(factor)
        return ((bits >> np.uint64(40)).astype(np.float64) / 2**23 - 1).reshape(shape)

    return make


@pytest.fixture(scope="session")
def pixels(numbers: Numbers) -> MakePicture:
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
def digits() -> MemoryImages:
    image_set = Digits().load()
    assert isinstance(image_set, MemoryImages)
    return image_set


@pytest.fixture(scope="session")
def network() -> Network:
    """A small DiT for digits whose weights are all random, also where it would start at zero."""
    torch.manual_seed(0)
    config = DiT(patch_size=4, hidden_size=32, depth=1, num_heads=2)
    module = config.build(channels=1, out_channels=DDPM().out_channels(1), resolution=8, conditions=of_classes(10))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def settings(classifier: Classifier) -> Evaluation:
    return Evaluation(
        evaluators=(
            Frechet(extractor=classifier, num_samples=60),
            ValidationLoss(num_images=8, num_levels=4, num_intervals=2),
        ),
        final_evaluators=(
            Frechet(extractor=classifier, num_samples=100),
            Frechet(extractor=Pixels(num_components=20), num_samples=90),
            KernelDistance(extractor=classifier, num_samples=100, num_subsets=4, subset_size=50),
            PrecisionRecall(extractor=classifier, num_samples=80),
            InceptionScore(extractor=classifier, num_samples=100, num_splits=5),
        ),
        sampler=DDIMSampler(num_steps=3),
        batch_size=32,
        grid_images=10,
    )


@pytest.fixture(scope="session")
def run(settings: Evaluation, digits: MemoryImages, cache_dir: Path) -> EvaluationRun:
    return settings.build(process=DDPM(), source=Digits(), train_set=digits, device=CPU, cache_dir=cache_dir)


@pytest.fixture(scope="session")
def table(settings: Evaluation, network: Network, cache_dir: Path) -> Table:
    source = Digits()
    return evaluate(
        settings, network=network, process=DDPM(), source=source, device=CPU, cache_dir=cache_dir, num_blocks=3
    )
