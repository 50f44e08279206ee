"""What trains a run small enough for a second, and what each of its steps was trained on."""

from pathlib import Path

import pytest
import torch
from support.runner import Make, Runner, Step, tiny_experiment
from torch import Tensor

from curriculum_search.conditions import Condition
from curriculum_search.diffusion import DDPM
from curriculum_search.diffusion.process import Network


@pytest.fixture(scope="session")
def tiny() -> Make:
    return tiny_experiment


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Every step of a DDPM run in this process, as it was handed to the process's loss."""
    recorded: list[Step] = []
    original = DDPM.losses

    def losses(self: DDPM, network: Network, images: Tensor, q: Tensor, noise: Tensor, condition: Condition) -> Tensor:
        if isinstance(network, torch.nn.Module) and network.training:  # the bank's losses are of the averaged network
            weights = {name: value.clone() for name, value in network.state_dict().items()}
            recorded.append(Step(weights, images.clone(), q.clone(), noise.clone(), condition))
        return original(self, network, images, q, noise, condition)

    monkeypatch.setattr(DDPM, "losses", losses)
    return recorded
