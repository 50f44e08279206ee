"""The clock that all adapters share, and what they save."""

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from support.curricula import Write

from curriculum_search.adapters import DiffusersTimesteps, EDMSigmas, ScheduleSampler, SiTTimes
from curriculum_search.curriculum import Curriculum, CurriculumFile, Linear, Moving, NoOrder, Pacing, Plateau, Reason
from curriculum_search.diffusion import (
    DDPM,
    EDM,
    Density,
    Flow,
    Laplace,
    LogitNormal,
    LogNormal,
    LossSecondMoment,
    Process,
    Uniform,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*images of total_images have been drawn")


def test_a_restored_adapter_goes_on_as_if_never_stopped(curriculum_file: Write) -> None:
    gated = Curriculum(num_clusters=5, pacing=Plateau(patience_share=0.05, end_share=0.8))
    path = curriculum_file(Flow(), curriculum=gated)
    whole, part = SiTTimes(path, total_images=4000), SiTTimes(path, total_images=4000)

    def step(adapter: SiTTimes, n: int) -> torch.Tensor:
        torch.manual_seed(n)
        t = adapter.times(100, "cpu")
        adapter.observe(torch.rand(100))
        return t

    for n in range(13):
        step(whole, n)
        step(part, n)
    buffer = io.BytesIO()
    torch.save({"curriculum": part.state_dict()}, buffer)
    buffer.seek(0)
    resumed = SiTTimes(path, total_images=4000)
    resumed.load_state_dict(torch.load(buffer, weights_only=True)["curriculum"])
    for n in range(13, 40):
        assert torch.equal(step(whole, n), step(resumed, n))
    assert whole.history == resumed.history
    assert len(whole.history) > 2
    assert whole.state_dict() == resumed.state_dict()


def test_pacing_is_relative_to_the_budget_that_is_given(curriculum_file: Write) -> None:
    path = curriculum_file(Flow())
    short, long = SiTTimes(path, total_images="as searched"), SiTTimes(path, total_images=40_000)
    for _ in range(20):
        short.times(100, "cpu")
        long.times(100, "cpu")
    assert (short.stage, long.stage) == (4, 1)
    assert short.history[1].images * 10 < 10_000
    assert short.history[-1].reason is Reason.SCHEDULE


def test_the_contents_of_a_file_do_as_well_as_its_path(curriculum_file: Write) -> None:
    path = curriculum_file(Flow())
    torch.manual_seed(0)
    by_path = SiTTimes(Path(path), total_images=4000).times(10, "cpu")
    torch.manual_seed(0)
    assert torch.equal(SiTTimes(CurriculumFile.load(path), total_images=4000).times(10, "cpu"), by_path)


def test_an_adapter_pickles_as_its_state_and_copies_as_itself(curriculum_file: Write) -> None:
    adapter = EDMSigmas(curriculum_file(EDM()), total_images=4000)
    adapter.sigmas(100, "cpu")
    plain = pickle.loads(pickle.dumps({"curriculum": adapter}))["curriculum"]
    assert type(plain) is dict
    again = EDMSigmas(curriculum_file(EDM()), total_images=4000)
    again.load_state_dict(plain)
    twin = copy.deepcopy(adapter)
    assert type(twin) is EDMSigmas
    twin.sigmas(3900, "cpu")
    assert again.state_dict() == adapter.state_dict() != twin.state_dict()


def test_a_gate_on_a_bank_needs_one(curriculum_file: Write) -> None:
    banked = Curriculum(num_clusters=4, pacing=Plateau(gate="bank", patience_share=0.05, max_stage_share=1.0))
    path = curriculum_file(Flow(), curriculum=banked)
    with pytest.raises(ValueError, match="watches the loss on a fixed bank: bank_losses is required"):
        SiTTimes(path, total_images=4000)
    adapter = SiTTimes(path, total_images=4000, bank_losses=lambda: torch.ones(16, dtype=torch.float64))
    for _ in range(10):
        adapter.times(100, "cpu")
    assert adapter.history[1].reason is Reason.PLATEAU


def test_losses_cannot_be_observed_before_anything_was_drawn(curriculum_file: Write) -> None:
    with pytest.raises(ValueError, match="nothing has been drawn yet"):
        SiTTimes(curriculum_file(Flow()), total_images=4000).observe(torch.ones(3))


def test_the_state_of_another_curriculum_is_an_error(curriculum_file: Write) -> None:
    five = SiTTimes(curriculum_file(Flow(), curriculum=Curriculum(num_clusters=5)), total_images=4000)
    with pytest.raises(ValueError, match="saved by another curriculum"):
        SiTTimes(curriculum_file(Flow()), total_images=4000).load_state_dict(five.state_dict())


@pytest.mark.parametrize("losses", [torch.ones(()), torch.ones(99), torch.ones(100, 1), torch.ones(100, 3, 8, 8)])
def test_losses_that_are_not_one_for_each_sample_are_an_error(losses: torch.Tensor, curriculum_file: Write) -> None:
    adapter = SiTTimes(curriculum_file(Flow()), total_images=4000)
    adapter.times(100, "cpu")
    with pytest.raises(ValueError, match=r"one loss for each of the 100 levels drawn last, \[100\], not \["):
        adapter.observe(losses)


@pytest.mark.parametrize("total_images", [0, -5, 2e8, 1.5, True, None, "all", "64000"])
def test_a_budget_of_no_whole_number_of_images_is_an_error(total_images: Any, curriculum_file: Write) -> None:
    message = r"total_images must be a whole number of at least 1, .* or 'as searched' \(the 4,000 of the runs"
    with pytest.raises(ValueError, match=message):
        SiTTimes(curriculum_file(Flow()), total_images=total_images)


def test_a_budget_is_required(curriculum_file: Write) -> None:
    with pytest.raises(TypeError, match="total_images"):
        SiTTimes(curriculum_file(Flow()))  # type: ignore[call-arg]


@pytest.mark.parametrize("total_images", [1, np.int64(3)])
@pytest.mark.parametrize("pacing", [Linear(), Plateau(window_steps=1)])
def test_the_smallest_budgets_are_followed(pacing: Pacing, total_images: int, curriculum_file: Write) -> None:
    path = curriculum_file(Flow(), curriculum=Curriculum(num_clusters=4, pacing=pacing))
    adapter = SiTTimes(path, total_images=total_images)
    assert adapter.stage == 1
    for _ in range(5):
        adapter.times(1, "cpu")
        adapter.observe(torch.ones(1))
    assert adapter.stage == 4
    assert type(adapter.state_dict()["images_seen"]) is int


def test_a_training_that_goes_on_after_its_budget_is_told_once(curriculum_file: Write) -> None:
    path = curriculum_file(Flow())
    adapter = SiTTimes(path, total_images=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(10):
            adapter.times(100, "cpu")
    with pytest.warns(UserWarning, match="SiTTimes: the 1,000 images of total_images have been drawn"):
        adapter.times(100, "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapter.times(100, "cpu")
        resumed = SiTTimes(path, total_images=1000)
        resumed.load_state_dict(adapter.state_dict())
        resumed.times(100, "cpu")


def test_validation_draws_as_ordinary_training_and_leaves_everything_as_it_was(curriculum_file: Write) -> None:
    density = LossSecondMoment(num_bins=4, history=1)
    gated = Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.5, max_stage_share=1.0, end_share=1.0))
    adapter = SiTTimes(curriculum_file(Flow(), density=density, curriculum=gated), total_images=4000)
    for _ in range(3):
        losses = adapter.times(100, "cpu") ** 2
        adapter.observe(losses)
    adapter.times(100, "cpu")
    # As text, because a loss that an adaptive density has not seen yet is NaN and equals nothing.
    importance, state = adapter.importance, str(adapter.state_dict())
    torch.manual_seed(0)
    with adapter.validation():
        for _ in range(3):
            t = adapter.times(5000, "cpu")
            adapter.observe(torch.full((5000,), 1e9))
            assert scipy.stats.kstest(t.numpy(), "uniform").pvalue > 1e-3
            assert torch.equal(adapter.importance, torch.ones(5000))
    assert adapter.importance is importance
    assert str(adapter.state_dict()) == state
    adapter.observe(torch.ones(100))  # of the draw before
    assert str(adapter.state_dict()) != state


def test_validation_ends_with_an_error_and_holds_for_the_loops_own_callbacks(curriculum_file: Write) -> None:
    gated = Curriculum(num_clusters=4, pacing=Plateau(window_steps=2))
    sampler = ScheduleSampler(curriculum_file(DDPM(), curriculum=gated), 1000, total_images=4000)
    sampler.sample(100, "cpu")
    state = sampler.state_dict()

    def fails() -> None:
        with sampler.validation():
            t, _ = sampler.sample(100, "cpu")
            sampler.update_with_local_losses(t, torch.ones(100))
            sampler.update_with_all_losses([1], [2.0])
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert sampler.state_dict() == state
    sampler.sample(100, "cpu")
    assert sampler.images_seen == 200


@pytest.mark.parametrize(
    ("own", "does"),
    [
        (LossSecondMoment(), "follows the loss"),
        (Moving(start=LogNormal(), pacing=Linear()), "moves"),
        (Laplace(mean=-1.0, scale=0.7), "is not the ordinary one of its process, uniform over q"),
        (LogitNormal(mean=0.5), "is not the ordinary one of its process, uniform over q"),
    ],
    ids=lambda own: type(own).__name__,
)
def test_a_density_cannot_stand_for_one_that_belongs_to_the_curriculum(
    own: Density, does: str, curriculum_file: Write
) -> None:
    path = curriculum_file(Flow(), density=own, curriculum=Curriculum(order=NoOrder()))
    message = f"density {does}: another cannot take its place, so leave density= away"
    for density in (LogitNormal(), Uniform()):
        with pytest.raises(ValueError, match=message):
            SiTTimes(path, total_images=1, density=density)
    assert SiTTimes(path, total_images=1).times(8, "cpu").shape == (8,)


def test_the_density_that_a_curriculum_has_already_may_be_given(curriculum_file: Write) -> None:
    path = curriculum_file(EDM(), density=LogNormal(mean=-0.4, std=1.0))
    draws = []
    for density in (None, LogNormal(mean=-0.4, std=1.0)):
        torch.manual_seed(0)
        draws.append(EDMSigmas(path, total_images=4000, density=density).sigmas(100, "cpu"))
    torch.testing.assert_close(*draws)


@pytest.mark.parametrize(
    ("name", "process"), [("EDMSigmas", Flow()), ("SiTTimes", DDPM()), ("DiffusersTimesteps", EDM())]
)
def test_a_curriculum_over_other_levels_is_an_error(name: str, process: Process, curriculum_file: Write) -> None:
    make: dict[str, Callable[[str], object]] = {
        "EDMSigmas": lambda path: EDMSigmas(path, total_images=1),
        "SiTTimes": lambda path: SiTTimes(path, total_images=1),
        "DiffusersTimesteps": lambda path: DiffusersTimesteps(path, 1000, total_images=1),
    }
    with pytest.raises(ValueError, match=f"{name} needs a curriculum over the levels of"):
        make[name](curriculum_file(process))


def test_latents_of_another_scale_are_noticed(curriculum_file: Write) -> None:
    file = CurriculumFile.load(curriculum_file(Flow()))
    encoder = {"kind": "undecoded", "scale": [0.5, 2.0], "shift": 0.1}
    adapter = SiTTimes(replace(file, encoder=encoder), total_images=1)
    adapter.check_latents(scale=(0.5, 2.0), shift=[0.1, 0.1])
    with pytest.raises(ValueError, match=r"made over latents of scale \[0\.5, 2\.0\], and yours have 0\.18215"):
        adapter.check_latents(scale=0.18215, shift=0.1)
    with pytest.raises(
        ValueError, match=r"made over latents of scale \[0\.5, 2\.0\], and yours have \(0\.5, 2\.0, 1\.0\)"
    ):
        adapter.check_latents(scale=(0.5, 2.0, 1.0))
    with pytest.raises(ValueError, match=r"made over latents of shift 0\.1, and yours have 0\.0"):
        adapter.check_latents(scale=(0.5, 2.0))
    of_the_autoencoder = {"kind": "vae", "path": "x", "scale": None, "shift": None}
    SiTTimes(replace(file, encoder=of_the_autoencoder), total_images=1).check_latents(scale=0.18215)
    with pytest.raises(ValueError, match="says of no latents: it was made over the pixels of images"):
        SiTTimes(file, total_images=1).check_latents(scale=0.18215)
