"""The timesteps of diffusers' schedulers, as its scripts draw them."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling
from support.curricula import Write

from curriculum_search.adapters import DiffusersFlowMatching, DiffusersSigmas, DiffusersTimesteps
from curriculum_search.curriculum import Curriculum, Moving, NoOrder, Step, UniformPartition
from curriculum_search.diffusion import DDPM, Density, EntropyRate, Flow, Laplace, LogNormal, LossSecondMoment

pytestmark = pytest.mark.filterwarnings("ignore:.*images of total_images have been drawn")


def test_diffusers_gets_timesteps(curriculum_file: Write) -> None:
    timesteps = DiffusersTimesteps(curriculum_file(DDPM()), DDPMScheduler(), total_images=4000).timesteps(
        64, torch.device("cpu")
    )
    assert (timesteps.dtype, timesteps.shape) == (torch.int64, (64,))
    assert timesteps.min() >= 750


SCHEMES: list[dict[str, Any]] = [
    {"weighting_scheme": "none"},
    {"weighting_scheme": "sigma_sqrt"},
    {"weighting_scheme": "logit_normal", "logit_mean": 0.5, "logit_std": 0.8},
    {"weighting_scheme": "mode", "mode_scale": 1.29},
    {"weighting_scheme": "mode", "mode_scale": -0.9},
]


def drawn_by_the_script(scheduler: FlowMatchEulerDiscreteScheduler, scheme: dict[str, Any]) -> np.ndarray:
    """200,000 indices, as the scripts for SD3 and Flux draw them."""
    arguments = {"logit_mean": 0.0, "logit_std": 1.0, "mode_scale": 1.29, **scheme}
    u = compute_density_for_timestep_sampling(batch_size=200_000, **arguments)
    indices: np.ndarray = (u * scheduler.config.num_train_timesteps).long().numpy()
    return indices


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_diffusers_flow_matching_restricts_the_scripts_own_draw_to_noise_levels_and_ends_as_it(
    shift: float, scheme: dict[str, Any], curriculum_file: Write
) -> None:
    torch.manual_seed(0)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    curriculum = DiffusersFlowMatching(curriculum_file(Flow()), scheduler, total_images=400_000, **scheme)
    theirs = drawn_by_the_script(scheduler, scheme)
    for stage, edge in enumerate((0.75, 0.5, 0.25, 0.0), start=1):  # clusters are of noise, whatever the shift
        indices = curriculum.indices(50_001)
        assert (indices.dtype, indices.shape, curriculum.stage) == (torch.int64, (50_001,), stage)
        assert scheduler.sigmas[indices].min() >= edge
        inside = theirs[scheduler.sigmas.numpy()[theirs] >= edge]
        assert scipy.stats.ks_2samp(indices.numpy(), inside).pvalue > 1e-3


def test_each_sigma_of_a_scheduler_is_in_the_cluster_that_it_lies_in(curriculum_file: Write) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=40, shift=3.0)
    curriculum = DiffusersFlowMatching(curriculum_file(Flow()), scheduler, total_images=8000)
    lowest = [scheduler.sigmas[curriculum.indices(1001)].min().item() for _ in range(4)]
    sigmas = scheduler.sigmas.numpy()
    assert lowest == [sigmas[sigmas >= edge].min() for edge in (0.75, 0.5, 0.25, 0.0)]


def test_a_scheduler_without_a_sigma_in_a_cluster_is_an_error(curriculum_file: Write) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=6, shift=3.0)
    many = curriculum_file(Flow(), curriculum=Curriculum(num_clusters=10, partition=UniformPartition()))
    with pytest.raises(
        ValueError, match=r"has 6 timesteps, and none of them in the curriculum's cluster of q from 0 to"
    ):
        DiffusersFlowMatching(many, scheduler, total_images=4000)


def test_a_density_that_follows_the_loss_leads_back_to_what_the_script_draws(curriculum_file: Write) -> None:
    torch.manual_seed(0)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    density = LossSecondMoment(num_bins=4, history=2)
    path = curriculum_file(Flow(), density=density, curriculum=Curriculum(num_clusters=1))
    with pytest.raises(ValueError, match="follows the loss: weighting_scheme must be 'none', not 'mode'"):
        DiffusersFlowMatching(path, scheduler, total_images=4000, weighting_scheme="mode")
    curriculum = DiffusersFlowMatching(path, scheduler, total_images=10**6)
    for _ in range(9):
        sigmas = scheduler.sigmas[curriculum.indices(1000)]
        curriculum.observe(1 + 5 * sigmas)
    sigmas = scheduler.sigmas[curriculum.indices(200_000)]
    assert curriculum.importance.std() > 0.1
    # The mean of sigma over the script's draw, 3 u / (1 + 2 u) of a uniform u: 3 / 2 - 3 / 4 ln 3.
    assert (curriculum.importance * sigmas).mean() == pytest.approx(1.5 - 0.75 * math.log(3), abs=2e-3)


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ({"weighting_scheme": "mode", "mode_scale": 2.0}, r"mode_scale must be in \[-1, 1.752\], not 2.0"),
        ({"weighting_scheme": "logit_normal", "logit_std": 0.0}, "std must be positive, not 0.0"),
    ],
)
def test_a_scheme_without_a_density_is_an_error(scheme: dict[str, Any], message: str, curriculum_file: Write) -> None:
    with pytest.raises(ValueError, match=message):
        DiffusersFlowMatching(curriculum_file(Flow()), FlowMatchEulerDiscreteScheduler(), total_images=4000, **scheme)


def test_a_scheduler_that_was_prepared_for_sampling_is_an_error(curriculum_file: Write) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(50)
    with pytest.raises(ValueError, match=r"give the scheduler as it was made, not after set_timesteps"):
        DiffusersFlowMatching(curriculum_file(Flow()), scheduler, total_images=4000)


@pytest.mark.parametrize("num_train_timesteps", [1000, 4000, 100])
def test_diffusers_timesteps_take_their_number_from_the_scheduler(
    num_train_timesteps: int, curriculum_file: Write
) -> None:
    scheduler = DDPMScheduler(num_train_timesteps=num_train_timesteps, beta_schedule="squaredcos_cap_v2")
    path = curriculum_file(DDPM(schedule="cosine"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        timesteps = DiffusersTimesteps(path, scheduler, total_images=4000).timesteps(4000, "cpu")
    assert timesteps.min() == 0.75 * num_train_timesteps
    assert timesteps.max() > 0.98 * num_train_timesteps


OWN_DENSITIES = [
    EntropyRate(),
    Moving(start=LogNormal(mean=-2.0, std=0.3), pacing=Step(end_share=0.5)),
    Laplace(mean=-1.0, scale=0.7),
]


@pytest.mark.parametrize("density", OWN_DENSITIES, ids=lambda density: type(density).__name__)
def test_a_density_that_takes_the_place_of_the_scripts_is_drawn_by_another_adapter(
    curriculum_file: Write, density: Density
) -> None:
    path = curriculum_file(Flow(), density=density, curriculum=Curriculum(order=NoOrder()))
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    with pytest.raises(ValueError, match="takes the place of the script's: draw with DiffusersSigmas"):
        DiffusersFlowMatching(path, scheduler, total_images=4000)
    assert DiffusersSigmas(path, scheduler, total_images=4000).indices(8).shape == (8,)


def test_a_moving_density_is_one_of_noise_whatever_the_schedulers_shift(curriculum_file: Write) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    path = curriculum_file(Flow(), density=OWN_DENSITIES[1], curriculum=Curriculum(order=NoOrder()))
    curriculum = DiffusersSigmas(path, scheduler, total_images=40_000)
    sigmas = [scheduler.sigmas[curriculum.indices(4000)] for _ in range(10)]
    logs = torch.cat(sigmas[:5]).double()
    assert (logs / (1 - logs)).log().mean() == pytest.approx(-2.0, abs=0.03)  # noise over signal
    assert torch.cat(sigmas[5:]).mean() == pytest.approx(0.5, abs=0.02)  # uniform at the end


def test_a_density_that_is_the_scripts_own_may_be_drawn_as_the_script_does(curriculum_file: Write) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    # u is logit-normal with mean 0.5, counted from noise to data; the shift adds ln 3 to the logit of the noise.
    path = curriculum_file(Flow(), density=LogNormal(mean=math.log(3) - 0.5, std=0.8))
    scheme: dict[str, Any] = {"weighting_scheme": "logit_normal", "logit_mean": 0.5, "logit_std": 0.8}
    assert DiffusersFlowMatching(path, scheduler, total_images=4000, **scheme).indices(8).shape == (8,)
    with pytest.raises(ValueError, match="takes the place of the script's: draw with DiffusersSigmas"):
        DiffusersFlowMatching(path, scheduler, total_images=4000, **scheme | {"logit_mean": 0.0})


def test_the_shift_of_a_process_is_the_schedulers_too_or_an_error(curriculum_file: Write) -> None:
    torch.manual_seed(0)
    path = curriculum_file(Flow(shift=3.0))
    for shift in (1.0, 1 / 3, 3.1):
        with pytest.raises(ValueError, match=r"made with process\.shift=3, .*: make it with shift=3, or"):
            DiffusersFlowMatching(path, FlowMatchEulerDiscreteScheduler(shift=shift), total_images=4000)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    curriculum = DiffusersFlowMatching(path, scheduler, total_images=4000)
    assert scheduler.sigmas[curriculum.indices(4000)].min() >= 0.9  # the noisiest quarter of q


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_sigmas_are_shifted_as_the_process_is_whatever_the_schedulers_shift(
    shift: float, curriculum_file: Write
) -> None:
    torch.manual_seed(0)
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=100_000, shift=shift)
    curriculum = DiffusersSigmas(curriculum_file(Flow(shift=3.0)), scheduler, total_images=4000)
    assert scheduler.sigmas[curriculum.indices(4000)].min() >= 0.9 - 1e-4
    sigmas = scheduler.sigmas[curriculum.indices(20_000)].double().numpy()
    assert scipy.stats.kstest(sigmas, lambda t: t / (3 - 2 * t)).pvalue > 1e-3
