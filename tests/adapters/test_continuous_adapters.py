"""EDM, SiT and diffusers: the levels that their code works with, each in its own convention."""

import types
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch

from curriculum_search.adapters import DiffusersFlowMatching, DiffusersTimesteps, EDMSigmas, SiTTimes
from curriculum_search.curriculum import CurriculumFile
from curriculum_search.diffusion import DDPM, EDM, Flow

Write = Callable[..., str]


def test_edm_gets_sigmas_shaped_for_its_images_that_end_as_its_log_normal(curriculum_file: Write) -> None:
    torch.manual_seed(0)
    edm = EDMSigmas(curriculum_file(EDM()))
    first = edm.sigmas(500, "cpu")
    assert (first.shape, first.dtype) == (torch.Size([500, 1, 1, 1]), torch.float32)
    # The noisiest quarter: ln sigma above its upper quartile, -1.2 + 1.2 * 0.67449.
    assert first.min() >= np.exp(-1.2 + 1.2 * 0.67449) * (1 - 1e-4)
    while edm.images_seen < 4000:
        edm.sigmas(500, "cpu")
    normal = scipy.stats.norm(-1.2, 1.2)
    assert scipy.stats.kstest(edm.sigmas(20_000, "cpu").log().flatten().numpy(), normal.cdf).pvalue > 1e-3


def test_sit_counts_time_from_noise_to_data(curriculum_file: Write) -> None:
    torch.manual_seed(0)
    sit = SiTTimes(curriculum_file(Flow()))
    first = sit.times(500, "cpu")
    # x_t = t data + (1 - t) noise: the noisiest quarter are the times below 1/4.
    assert first.max() <= 0.25
    assert first.min() >= 0.0
    while sit.images_seen < 4000:
        sit.times(500, "cpu")
    assert scipy.stats.kstest(sit.times(20_000, "cpu").numpy(), "uniform").pvalue > 1e-3


def test_sit_keeps_to_the_interval_that_its_transport_asks_for(curriculum_file: Write) -> None:
    t = SiTTimes(curriculum_file(Flow())).times(500, "cpu", t0=0.2, t1=0.6)
    assert t.min() >= 0.2
    assert t.max() <= 0.3 + 1e-6


def test_diffusers_gets_timesteps(curriculum_file: Write) -> None:
    timesteps = DiffusersTimesteps(curriculum_file(DDPM())).timesteps(64, torch.device("cpu"))
    assert (timesteps.dtype, timesteps.shape) == (torch.int64, (64,))
    assert timesteps.min() >= 750


def flow_scheduler(shift: float, num_train_timesteps: int = 1000) -> types.SimpleNamespace:
    """What FlowMatchEulerDiscreteScheduler holds after it was made: sigmas from 1 down to 1/N, shifted."""
    sigmas = torch.from_numpy(np.linspace(1, num_train_timesteps, num_train_timesteps, dtype=np.float32)[::-1].copy())
    sigmas = sigmas / num_train_timesteps
    sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
    return types.SimpleNamespace(sigmas=sigmas, timesteps=sigmas * num_train_timesteps)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_diffusers_flow_matching_gets_indices_of_the_sigmas_drawn(shift: float, curriculum_file: Write) -> None:
    scheduler = flow_scheduler(shift)
    curriculum = DiffusersFlowMatching(curriculum_file(Flow()), scheduler)
    torch.manual_seed(1)
    indices = curriculum.indices(1000)
    torch.manual_seed(1)
    q = CurriculumFile.load(curriculum_file(Flow())).sampler("cpu").draw(torch.rand(1000))[0]
    assert indices.dtype == torch.int64
    sigmas = scheduler.sigmas[indices]
    below = torch.cat([scheduler.sigmas, torch.zeros(1)])[indices + 1]
    assert bool((sigmas >= q).all())
    assert bool((below < q).all())
    assert sigmas.min() >= 0.75


def test_a_scheduler_prepared_for_sampling_backwards_is_an_error(curriculum_file: Write) -> None:
    scheduler = flow_scheduler(1.0)
    scheduler.sigmas = scheduler.sigmas.flip(0)
    with pytest.raises(ValueError, match=r"scheduler\.sigmas must fall from noise to data"):
        DiffusersFlowMatching(curriculum_file(Flow()), scheduler)


@pytest.mark.parametrize(("adapter", "process"), [(EDMSigmas, Flow()), (SiTTimes, DDPM()), (DiffusersTimesteps, EDM())])
def test_a_curriculum_over_other_levels_is_an_error(
    adapter: type[EDMSigmas], process: EDM, curriculum_file: Write
) -> None:
    with pytest.raises(ValueError, match=f"{adapter.__name__} needs a curriculum over the levels of"):
        adapter(curriculum_file(process))
