"""Curricula over timesteps in a training that counts them otherwise."""

import types
import warnings
from typing import Literal

import numpy as np
import pytest
import scipy.stats
import torch
from support.curricula import Write

from curriculum_search.adapters import DiffusersTimesteps, ScheduleSampler
from curriculum_search.adapters._timesteps import on_grid
from curriculum_search.curriculum import Curriculum, CurriculumFile, LogSnrPartition, UniformPartition
from curriculum_search.diffusion import DDPM, Beta, Uniform

pytestmark = pytest.mark.filterwarnings("ignore:.*images of total_images have been drawn")


@pytest.mark.parametrize("num_timesteps", [4000, 1500, 999, 250, 40])
def test_a_training_with_another_number_of_timesteps_draws_the_same_shares_of_them(
    num_timesteps: int, curriculum_file: Write
) -> None:
    torch.manual_seed(0)
    diffusion = types.SimpleNamespace(num_timesteps=num_timesteps)
    sampler = ScheduleSampler(curriculum_file(DDPM(num_timesteps=1000)), diffusion, total_images=800_000)
    for stage, share in enumerate((0.75, 0.5, 0.25, 0.0), start=1):
        lowest = round(share * num_timesteps)
        timesteps, _ = sampler.sample(100_001, "cpu")
        assert sampler.stage == stage
        counts = np.bincount(timesteps.numpy(), minlength=num_timesteps)
        assert (len(counts), counts[:lowest].sum()) == (num_timesteps, 0)
        unlocked = num_timesteps - lowest
        assert scipy.stats.chisquare(counts[lowest:]).pvalue > 1e-3
        np.testing.assert_allclose(sampler.weights()[lowest:], 1 / unlocked, rtol=1e-9)


def test_with_the_same_number_of_timesteps_the_curriculum_is_the_files_own_to_the_last_digit(
    curriculum_file: Write,
) -> None:
    path = curriculum_file(DDPM(), density=Beta(a=2.0, b=3.0), curriculum=Curriculum(num_clusters=20))
    sampler = ScheduleSampler(path, 1000, total_images=4000)
    theirs = CurriculumFile.load(path).sampler("cpu")
    assert sampler.state_dict()["sampler"]["edges"] == theirs.edges.tolist()
    np.testing.assert_array_equal(sampler.weights(), np.diff(theirs.stage_density.cdf_at(np.arange(1001) / 1000)))


def test_clusters_between_which_a_training_has_no_timestep_are_an_error(curriculum_file: Write) -> None:
    narrow = curriculum_file(DDPM(), curriculum=Curriculum(num_clusters=20, partition=LogSnrPartition()))
    message = r"this training has 30 timesteps, and none of them in the curriculum's cluster of q from 0 to 0\.015 "
    with pytest.raises(ValueError, match=message + r"\(1 of its 20 clusters have none\).* process\.num_timesteps=30"):
        ScheduleSampler(narrow, 30, total_images=4000)


@pytest.mark.parametrize("num_timesteps", [500, 1000, 4000])
def test_a_schedule_that_is_not_the_curriculums_is_said(num_timesteps: int, curriculum_file: Write) -> None:
    path = curriculum_file(DDPM(schedule="cosine"))

    def make(schedule: Literal["linear", "cosine"]) -> None:
        alphas_cumprod = DDPM(schedule=schedule, num_timesteps=num_timesteps).alphas_cumprod().astype(np.float32)
        diffusion = types.SimpleNamespace(num_timesteps=num_timesteps, alphas_cumprod=alphas_cumprod)
        ScheduleSampler(path, diffusion, total_images=4000)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make("cosine")
    with pytest.warns(UserWarning, match=r"noise schedule is not the one that the curriculum was made for \(cosine\)"):
        make("linear")


def test_what_has_no_number_of_timesteps_is_an_error_that_says_where_it_is_looked_for(curriculum_file: Write) -> None:
    with pytest.raises(ValueError, match=r"what has it as config\.num_train_timesteps, is needed; object has none"):
        DiffusersTimesteps(curriculum_file(DDPM()), object(), total_images=4000)


def test_edges_on_a_grid_are_rounded_to_the_border_next_to_them() -> None:
    file = Curriculum(num_clusters=4, partition=UniformPartition()).resolve(DDPM(), Uniform(), 4000, 100)
    assert on_grid(np.array([0.0, 2.4, 4.6, 7.0, 10.0]), 10, file) == (0.0, 0.2, 0.5, 0.7, 1.0)
    with pytest.raises(ValueError, match=r"cluster of q from 0\.25 to 0\.5 \(2 of its 4 clusters have none\)"):
        on_grid(np.array([0.0, 2.4, 2.1, 9.6, 10.0]), 10, file)
