"""What extractors are loaded from."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from support.arrays import Numbers
from torch import Tensor

from curriculum_search.data import MemoryImages
from curriculum_search.evaluation import Sources
from curriculum_search.evaluation.features.inception_network import InceptionNetwork


@pytest.fixture
def sources(digits: MemoryImages, cache_dir: Path) -> Sources:
    return Sources(train=digits, reference=digits, device=torch.device("cpu"), cache_dir=cache_dir)


@pytest.fixture
def images(digits: MemoryImages) -> Tensor:
    """Forty digits."""
    return digits.read(np.arange(40))[0]


@pytest.fixture
def inception_network(numbers: Numbers) -> InceptionNetwork:
    """The network with weights from a formula, as given to torch-fidelity and pytorch-fid too."""
    with torch.device("meta"):
        network = InceptionNetwork()
    network = network.to_empty(device="cpu").eval().requires_grad_(False)
    for i, (name, value) in enumerate(sorted(network.state_dict().items())):
        if not value.is_floating_point():
            value.zero_()
            continue
        weights = torch.from_numpy(numbers(*value.shape, stream=i))
        if name.endswith("running_var"):
            weights = 1 + weights / 2
        elif name.endswith("bn.weight"):
            weights = 1 + weights / 4
        elif value.ndim == 1:
            weights = weights / 8
        else:
            weights = weights * 1.75 * math.sqrt(2 / value[0].numel())
        value.copy_(weights)
    return network
