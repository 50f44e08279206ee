"""A run imports no more than it needs, for every process of a study pays for it; and computes what it would with it."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from curriculum_search.data import Digits
from curriculum_search.models import DiT
from curriculum_search.torch_imports import EagerAdamW, without_values

#: A run that compiles nothing, of digits; what it has imported by its end.
RUN = """
import sys, tempfile
from pathlib import Path
import torch
from curriculum_search.evaluation import Evaluation, ValidationLoss
from curriculum_search.experiment import Experiment, Training
from curriculum_search.data import Digits
from curriculum_search.models import DiT
from curriculum_search.training import PlainSession, train

experiment = Experiment(
    model=DiT(patch_size=4, hidden_size=16, depth=1, num_heads=2),
    training=Training(total_images=32, batch_size=16, num_evaluations=1),
    evaluation=Evaluation(evaluators=(ValidationLoss(num_images=8, num_levels=10, num_intervals=5),), grid_images=4),
)
folder = Path(tempfile.mkdtemp())
train(experiment, PlainSession(run_dir=folder, device=torch.device("cpu")), folder)
print([name for name in ("torch._dynamo", "torch._inductor", "sklearn", "scipy", "matplotlib") if name in sys.modules])
"""


def test_a_run_imports_neither_the_compiler_nor_scikit_learn() -> None:
    done = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize("foreach", [True, False])
def test_the_optimiser_is_torchs_bit_for_bit(foreach: bool) -> None:
    networks, states = [], []
    kinds: tuple[type[torch.optim.AdamW], ...] = (torch.optim.AdamW, EagerAdamW)
    for kind in kinds:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 2))
        options: dict[str, Any] = {"lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.1, "foreach": foreach}
        optimizer = kind(network.parameters(), **options)
        for step in range(6):
            if step == 3:  # goes on from what was saved
                saved, optimizer = optimizer.state_dict(), kind(network.parameters(), **options)
                optimizer.load_state_dict(saved)
            optimizer.zero_grad()
            network(torch.randn(5, 4)).square().mean().backward()
            optimizer.step()
        networks.append(network)
        states.append(optimizer.state_dict())
    for theirs, ours in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(theirs, ours)
        assert not ours.grad_fn
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for number, values in states[0]["state"].items():
        assert all(torch.equal(value, states[1]["state"][number][name]) for name, value in values.items())


def test_a_network_without_values_has_the_shapes_of_one_with() -> None:
    model = DiT(patch_size=4, hidden_size=16, depth=1, num_heads=2)
    conditions = Digits().load().conditions
    with without_values():
        empty = model.build(channels=1, out_channels=1, resolution=8, conditions=conditions)
    whole = model.build(channels=1, out_channels=1, resolution=8, conditions=conditions)
    assert all(weight.is_meta for name, weight in empty.named_parameters() if name.endswith("weight"))
    shapes = [{name: value.shape for name, value in network.state_dict().items()} for network in (empty, whole)]
    assert shapes[0] == shapes[1]
