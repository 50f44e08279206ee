"""Plain noise quantiles, of every process."""

import pytest
import torch
from support.curricula import Write

from curriculum_search.adapters import Quantiles, ScheduleSampler
from curriculum_search.diffusion import DDPM, EDM, Flow, Process


@pytest.mark.parametrize("process", [DDPM(), EDM(), Flow()], ids=["ddpm", "edm", "flow"])
def test_quantiles_lie_in_what_the_curriculum_has_unlocked(curriculum_file: Write, process: Process) -> None:
    adapter = Quantiles(curriculum_file(process), total_images=4000)
    q = adapter.quantiles(4000, "cpu")
    edges, first = adapter._sampler.edges, int(adapter._sampler.permutation[0])
    assert edges[first] <= q.min() < q.max() <= edges[first + 1]


def test_they_are_what_other_adapters_make_levels_of(curriculum_file: Write) -> None:
    path = curriculum_file(DDPM())
    torch.manual_seed(0)
    q = Quantiles(path, total_images=4000).quantiles(100, "cpu")
    torch.manual_seed(0)
    t, _ = ScheduleSampler(path, DDPM().num_timesteps, total_images=4000).sample(100, "cpu")
    assert torch.equal((q * DDPM().num_timesteps).long(), t)
