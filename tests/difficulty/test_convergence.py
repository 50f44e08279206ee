"""The convergence study: what is trained, and what is made of the losses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum_search.conditions import Condition
from curriculum_search.curriculum import NoOrder
from curriculum_search.data import Digits
from curriculum_search.difficulty import ConvergenceCurve, ConvergenceStudy, IntervalConvergence, PrincipalAxes
from curriculum_search.difficulty.axes import coefficients
from curriculum_search.diffusion import DDPM, EDM, Density, Flow, Histogram, LogNormal, LossSecondMoment, Process, Speed
from curriculum_search.evaluation import FixedBank
from curriculum_search.experiment import Experiment
from curriculum_search.models import DiT

BASE = Experiment(model=DiT(hidden_size=16, depth=1, num_heads=2, patch_size=4))
STUDY = ConvergenceStudy(num_intervals=4, num_images=32, levels_per_interval=2)


def interval(points: list[tuple[int, float]], start: float = 1.0, linear: float = 0.1) -> IntervalConvergence:
    return IntervalConvergence.of((0.0, 1.0), points, start_loss=start, linear_loss=linear)


def test_a_loss_that_falls_in_a_straight_line_has_difficulty_one_half() -> None:
    found = interval([(100 * i, 1 - 0.08 * i) for i in range(1, 11)])
    assert found.difficulty == pytest.approx(0.5)
    assert found.images_to_most == pytest.approx(900)
    assert found.late_share == pytest.approx(0.25)
    assert found.loss_over_linear == pytest.approx(2.0)


def test_earlier_reductions_are_easier_and_the_mean_time_of_a_reduction_is_the_difficulty() -> None:
    at_half = interval([(500, 1.0), (501, 0.2), (1000, 0.2)])
    assert at_half.difficulty == pytest.approx(0.5, abs=0.001)
    at_tenth = interval([(100, 1.0), (101, 0.2), (1000, 0.2)])
    assert at_tenth.difficulty == pytest.approx(0.1, abs=0.001)
    assert at_tenth.late_share == 0
    assert at_tenth.images_to_most < at_half.images_to_most


def test_neither_the_level_nor_the_scale_of_the_loss_matters() -> None:
    losses = [(100, 0.6), (200, 0.45), (300, 0.5), (400, 0.4)]
    plain = interval(losses)
    moved = interval([(n, 7 + 30 * value) for n, value in losses], start=37.0)
    assert moved.difficulty == pytest.approx(plain.difficulty)
    assert moved.images_to_most == pytest.approx(plain.images_to_most)


def test_a_model_that_is_never_better_than_silence_has_learned_nothing() -> None:
    found = interval([(100, 1.2), (200, 1.1)])
    assert (found.difficulty, found.images_to_most, found.late_share) == (1.0, 200.0, 1.0)


def test_a_run_without_an_evaluation_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no evaluation"):
        interval([])


def test_intervals_that_still_learn_at_the_end_are_named() -> None:
    early = interval([(100, 0.1), (200, 0.1)])
    late = interval([(100, 0.9), (200, 0.1)])
    assert ConvergenceCurve(intervals=(early, late)).still_learning() == (late,)


def test_the_curve_has_mean_one_and_keeps_the_order() -> None:
    rows = [replace(interval([(10, 0.5)]), low=i / 2, high=(i + 1) / 2, difficulty=d) for i, d in enumerate((0.3, 0.1))]
    curve = ConvergenceCurve(intervals=tuple(rows)).difficulty()
    assert curve.edges == (0.0, 0.5, 1.0)
    assert curve.values == pytest.approx((1.5, 0.5))


@pytest.mark.parametrize("density", [Speed(), LogNormal(), LossSecondMoment()], ids=lambda d: type(d).__name__)
def test_each_model_draws_from_the_base_density_inside_its_interval_and_nowhere_else(density: Density) -> None:
    base = replace(BASE, density=density)
    experiments = STUDY.experiments(base)
    assert len({e.identity() for e in experiments}) == 4
    uniforms = torch.rand(2000, generator=torch.Generator().manual_seed(0))
    for (low, high), experiment in zip(STUDY.intervals, experiments, strict=True):
        sampler = experiment.curriculum.build(experiment.process, experiment.density, 640, 64, "cpu")
        q, weight = sampler.draw(uniforms)
        assert low <= float(q.min()) < float(q.max()) < high
        assert bool((weight == 1).all())
        restricted = density.piecewise(base.process).restrict([(low, high)])
        inside = np.linspace(low, high, 50)
        np.testing.assert_allclose(
            experiment.density.piecewise(base.process).cdf_at(inside), restricted.cdf_at(inside), atol=1e-9
        )


def test_all_else_is_the_base_experiment_without_its_curriculum_and_metrics() -> None:
    for experiment in STUDY.experiments(BASE):
        for name in ("data", "process", "weighting", "model", "resources", "cadence", "seed", "plugins"):
            assert getattr(experiment, name) == getattr(BASE, name)
        assert isinstance(experiment.curriculum.order, NoOrder)
        assert experiment.evaluation.metric_names(final=True)[1:] == STUDY.metrics(BASE)
        assert replace(experiment.training, num_evaluations=8) == BASE.training


def test_an_interval_without_density_and_more_intervals_than_timesteps_are_errors() -> None:
    half = replace(BASE, density=Histogram(edges=(0.0, 0.5, 1.0), mass=(1.0, 0.0)))
    with pytest.raises(ValueError, match="no mass"):
        STUDY.experiments(half)
    with pytest.raises(ValueError, match="at most the 30 timesteps, not 31"):
        ConvergenceStudy(num_intervals=31).experiments(replace(BASE, process=DDPM(num_timesteps=30)))


@pytest.mark.parametrize("process", [DDPM(learned_variance=True), EDM(), Flow()], ids=lambda p: type(p).__name__)
def test_the_start_is_the_loss_of_an_untrained_dit_on_the_same_bank(process: Process) -> None:
    base = replace(BASE, process=process)
    network = base.build_network(base.data.load()).eval()
    bank = FixedBank(base.data.reference(), process, 32, 8, seed=0, device=torch.device("cpu"))
    untrained = bank.losses(network).view(4, 2).mean(1)
    np.testing.assert_allclose(STUDY.start_losses(base), untrained.numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    "process",
    [DDPM(prediction="epsilon"), DDPM(prediction="x0"), DDPM(prediction="v"), Flow()],
    ids=lambda p: p.prediction,
)
def test_the_linear_loss_is_what_a_wiener_filter_gets_in_the_processs_own_units(process: Process) -> None:
    images = Digits().load()
    flat = images.read(np.arange(len(images)))[0].flatten(1).double() / 127.5 - 1
    mean, covariance = flat.mean(0), torch.cov(flat.T)

    def wiener(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        rows = []
        for one, t in zip(x.flatten(1).double(), time, strict=True):
            alpha, sigma = (float(c[0]) for c in coefficients(process, process.quantile(t[None].double()).numpy()))
            gain = alpha * torch.linalg.solve(alpha**2 * covariance + sigma**2 * torch.eye(64), covariance)
            restored = mean + (one - alpha * mean) @ gain
            rows.append(
                {
                    "epsilon": (one - alpha * restored) / sigma,
                    "x0": restored,
                    "v": (alpha * one - restored) / sigma,
                    "velocity": (one - restored) / sigma,
                }[process.prediction]
            )
        return torch.stack(rows).view_as(x).float()

    study = replace(STUDY, num_images=100)
    bank = FixedBank(images, process, 100, 8, seed=0, device=torch.device("cpu"))
    measured = bank.losses(wiener).view(4, 2).mean(1).numpy()
    axes = PrincipalAxes.of(images, 1400, seed=0)
    np.testing.assert_allclose(study.linear_losses(axes, process), measured, rtol=0.12)
