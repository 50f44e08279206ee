"""A base density that moves from one to another."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from curriculum_search.adapters import EDMSigmas, SiTTimes
from curriculum_search.curriculum import (
    Curriculum,
    CurriculumFile,
    CurriculumSampler,
    Linear,
    Moving,
    NoOrder,
    Plateau,
    SingleStep,
    Step,
)
from curriculum_search.diffusion import DDPM, EDM, Density, Flow, LogitNormal, LogNormal, LossSecondMoment, Uniform
from curriculum_search.experiment import Experiment
from curriculum_search.loading import validated
from curriculum_search.testing import check_curriculum_sampler

ORDINARY = Curriculum(order=NoOrder())
TWO_PHASES = Moving(start=LogitNormal(), end=Uniform(), pacing=Step(end_share=0.25))
GRADUAL = Moving(start=LogitNormal(mean=-1.0), end=Uniform(), pacing=Linear(end_share=0.5))


def sampler(density: Density, curriculum: Curriculum = ORDINARY, total_images: int = 1000) -> CurriculumSampler:
    return curriculum.build(Flow(), density, total_images, 10, "cpu")


@pytest.mark.parametrize("curriculum", [ORDINARY, Curriculum(num_clusters=3, pacing=Linear(end_share=0.4))])
@pytest.mark.parametrize("density", [TWO_PHASES, GRADUAL], ids=["two phases", "gradual"])
def test_it_makes_a_conforming_sampler_with_an_order_and_without(density: Density, curriculum: Curriculum) -> None:
    check_curriculum_sampler(lambda device: curriculum.build(Flow(), density, 4000, 32, device))


def test_curriculum_sampling_draws_logit_normal_until_it_switches_and_uniform_from_then_on() -> None:
    at_work = sampler(TWO_PHASES)
    q = np.linspace(0.01, 0.99, 50)
    for images in range(10, 1001, 10):
        before = LogitNormal() if images - 10 < 250 else Uniform()
        np.testing.assert_array_equal(at_work.stage_density.cdf_at(q), before.piecewise(Flow()).cdf_at(q))
        assert at_work.unlocked_share == (0.0 if images - 10 < 250 else 1.0)
        at_work.update(images)
    exposure = 0.25 * LogitNormal().piecewise(Flow()).cdf_at(q) + 0.75 * q
    np.testing.assert_allclose(at_work.exposure().cdf_at(q), exposure, atol=1e-12)


def test_a_gradual_one_is_the_mixture_of_both_in_64_steps_and_its_exposure_their_average() -> None:
    at_work = sampler(GRADUAL, total_images=6400)
    start, q = LogitNormal(mean=-1.0).piecewise(Flow()), np.linspace(0.01, 0.99, 50)
    for step in range(128):
        way = min(step / 64, 1.0)
        assert at_work.unlocked_share == way
        np.testing.assert_allclose(at_work.stage_density.cdf_at(q), (1 - way) * start.cdf_at(q) + way * q, atol=1e-12)
        at_work.update(50 * (step + 1))
    share = sum(1 - step / 64 for step in range(64)) / 128  # of the budget that the first one had
    np.testing.assert_allclose(at_work.exposure().cdf_at(q), share * start.cdf_at(q) + (1 - share) * q, atol=1e-12)


def test_the_clusters_of_an_order_restrict_what_it_is_at_the_time() -> None:
    at_work = sampler(TWO_PHASES, Curriculum(num_clusters=2, pacing=Linear(end_share=1.0)))
    low, high = at_work.edges[at_work.permutation[0]], at_work.edges[at_work.permutation[0] + 1]
    inside = np.linspace(low, high, 20)
    start = LogitNormal().piecewise(Flow())
    expected = (start.cdf_at(inside) - start.cdf_at(low)) / (start.cdf_at(high) - start.cdf_at(low))
    np.testing.assert_allclose(at_work.stage_density.cdf_at(inside), expected, atol=1e-9)
    at_work.update(300)
    np.testing.assert_allclose(at_work.stage_density.cdf_at(inside), (inside - low) / (high - low), atol=1e-9)


def test_both_of_its_densities_have_mass_in_every_cluster() -> None:
    narrow = Moving(start=LogNormal(mean=-4.0, std=0.05), end=Uniform())
    with pytest.raises(ValueError, match="the base density has no mass in the cluster of q from"):
        sampler(narrow, Curriculum(num_clusters=4))


def test_a_state_needs_nothing_but_the_clock() -> None:
    at_work, again = sampler(GRADUAL), sampler(GRADUAL)
    for images in range(10, 311, 10):
        at_work.update(images)
    again.load_state_dict(json.loads(json.dumps(at_work.state_dict())))
    u = torch.rand(100)
    assert torch.equal(again.draw(u)[0], at_work.draw(u)[0])
    assert again.unlocked_share == at_work.unlocked_share == 39 / 64


def test_one_without_effect_is_the_density_that_it_is() -> None:
    at_once = Moving(end=LogNormal(), pacing=Step(start_unlocked=1.0))
    for density in (Moving(start=LogNormal(), end=LogNormal()), at_once):
        assert density.canonical() == LogNormal()
        assert Experiment(density=density).identity() == Experiment(density=LogNormal()).identity()
    other = Moving(start=Uniform(), end=LogNormal())
    assert other.canonical() == other
    assert Experiment(density=other).identity() != Experiment(density=LogNormal()).identity()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start": TWO_PHASES}, "start must be a density that stays as it is, not 'moving'"),
        ({"end": LossSecondMoment()}, "end must be a density that stays as it is, not 'loss_second_moment'"),
        ({"pacing": Plateau()}, "pacing must be of a kind that only looks at the clock, not 'plateau'"),
    ],
)
def test_its_parts_stand_still_and_its_pacing_looks_at_the_clock(fields: dict[str, Density], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Moving(**fields)  # type: ignore[arg-type]


def test_a_study_file_has_it_in_parts() -> None:
    fields = {
        "density": {
            "kind": "moving",
            "start": {"kind": "logit_normal", "mean": 0.5},
            "end": {"kind": "beta", "a": 2.0},
            "pacing": {"kind": "single_step", "switch_share": 0.3},
        }
    }
    experiment = validated(Experiment, fields, "study.yaml", "base")
    assert isinstance(experiment.density, Moving)
    assert experiment.density.start == LogitNormal(mean=0.5)
    assert experiment.density.pacing == SingleStep(switch_share=0.3)
    assert Density.from_dict(experiment.density.to_dict()) == experiment.density


def test_it_is_exported_and_followed_by_other_training_code(tmp_path: Path) -> None:
    path = tmp_path / "curriculum.json"
    ORDINARY.resolve(Flow(), TWO_PHASES, 1000, 10).save(path)
    file = CurriculumFile.load(path)
    assert isinstance(file.density, Moving)
    times = SiTTimes(path, total_images=1000)
    middle = []
    for _ in range(100):
        t = times.times(10, "cpu")
        middle.append(float(((t > 0.25) & (t < 0.75)).float().mean()))
    assert np.mean(middle[:25]) == pytest.approx(0.728, abs=0.08)  # of a logit-normal
    assert np.mean(middle[25:]) == pytest.approx(0.5, abs=0.06)
    with pytest.raises(ValueError, match="this curriculum's density moves: another cannot take its place"):
        SiTTimes(path, total_images=1000, density=LogitNormal())


@pytest.mark.parametrize("process", [DDPM(), EDM(), Flow(shift=2.0)])
def test_it_moves_for_every_process(process: DDPM | EDM | Flow) -> None:
    density = Moving(start=LogNormal(mean=-1.2), end=LogNormal(mean=0.4), pacing=Linear(end_share=1.0))
    check_curriculum_sampler(lambda device: ORDINARY.build(process, density, 4000, 32, device))


def test_edm_s_own_two_densities_are_drawn_at_both_ends() -> None:
    density = Moving(start=LogNormal(mean=-1.2, std=0.1), end=LogNormal(mean=0.4, std=0.1), pacing=Step(end_share=0.5))
    sigmas = EDMSigmas(ORDINARY.resolve(EDM(), density, 1000, 100), total_images=1000)
    means = [float(sigmas.sigmas(100, "cpu").log().mean()) for _ in range(10)]
    np.testing.assert_allclose(means[:5], -1.2, atol=0.06)
    np.testing.assert_allclose(means[5:], 0.4, atol=0.06)
