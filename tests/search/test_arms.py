"""The arms of a study: baselines, controls, and their names."""

import itertools
from dataclasses import replace

import pytest
import torch

from curriculum_search.curriculum import (
    Cumulative,
    Curriculum,
    EasyToHard,
    HardToEasy,
    LogSnrPartition,
    Newest,
    NoOrder,
    Plateau,
    RandomOrder,
    Step,
)
from curriculum_search.diffusion import Beta, Histogram
from curriculum_search.experiment import Experiment, Training
from curriculum_search.loading import validated, with_values
from curriculum_search.search.arms import (
    STRETCHED,
    Arm,
    BaselineName,
    baseline,
    exposure_control,
    is_ordinary,
    ordinary_with_settings_of,
    title,
)

BASE = Experiment(
    curriculum=Curriculum(num_clusters=7, order=RandomOrder(), accumulation=Newest(), pacing=Step()),
    training=Training(total_images=64_000, batch_size=64),
)


def made(arm: Arm, base: Experiment = BASE) -> Experiment:
    return validated(Experiment, with_values(base.to_dict(), dict(arm.values), "arm"), "arm")


def test_no_curriculum_is_ordinary_training_and_nothing_else() -> None:
    experiment = made(baseline("no_curriculum", BASE))
    assert experiment.identity() == replace(BASE, curriculum=Curriculum(order=NoOrder())).identity()


def test_the_published_setting_is_what_was_published() -> None:
    experiment = made(baseline("published", BASE))
    curriculum = experiment.curriculum
    assert (curriculum.num_clusters, curriculum.union_density) == (20, "base")
    assert curriculum.partition == LogSnrPartition()
    assert curriculum.order == EasyToHard()
    assert curriculum.accumulation == Cumulative()
    assert isinstance(curriculum.pacing, Plateau)
    assert curriculum.pacing.gate == "raw"
    assert replace(experiment, curriculum=BASE.curriculum) == BASE


@pytest.mark.parametrize(
    ("name", "of", "order"),
    [
        ("reversed", "published", HardToEasy()),
        ("random_order", "published", RandomOrder()),
        ("reversed_stretched", "published_stretched", HardToEasy()),
        ("random_order_stretched", "published_stretched", RandomOrder()),
    ],
)
def test_the_other_baselines_differ_from_theirs_in_their_order_alone(
    name: BaselineName, of: BaselineName, order: object
) -> None:
    published, other = made(baseline(of, BASE)).curriculum, made(baseline(name, BASE)).curriculum
    assert other.order == order
    assert replace(other, order=published.order) == published


@pytest.mark.parametrize("total_images", [64 * 400_000, 64 * 1000])
def test_the_published_setting_keeps_its_share_of_a_run_of_any_length(total_images: int) -> None:
    base = replace(BASE, training=Training(total_images=total_images, batch_size=64))
    pacing = made(baseline("published", base), base).curriculum.pacing
    assert isinstance(pacing, Plateau)
    assert pacing.patience_share * 400_000 == pytest.approx(200)
    assert pacing.max_stage_share == 2 * pacing.patience_share
    assert pacing.end_share == pytest.approx(20 * pacing.max_stage_share)


def follow(base: Experiment, arm: BaselineName) -> list[tuple[float, int]]:
    """The share of the run at the beginning of each stage of an arm, on a loss that is noise without a trend."""
    experiment = made(baseline(arm, base), base)
    training = experiment.training
    sampler = experiment.curriculum.build(
        experiment.process, experiment.density, training.total_images, training.batch_size, "cpu"
    )
    losses = torch.rand(training.num_steps, generator=torch.Generator().manual_seed(0))
    for step in range(training.num_steps):
        sampler.observe(losses[step : step + 1], losses[step : step + 1])
        sampler.update((step + 1) * training.batch_size)
        if sampler.stage == sampler.num_stages:
            break
    return [(switch.images / training.total_images, switch.stage) for switch in sampler.history]


@pytest.mark.parametrize("num_steps", [500, 20_000, 400_000])
def test_a_run_of_any_length_goes_through_the_published_stages_in_at_most_2_percent_of_it(num_steps: int) -> None:
    base = replace(BASE, training=Training(total_images=8 * num_steps, batch_size=8))
    for name in ("published", "reversed", "random_order"):
        stages = follow(base, name)
        assert 0.0125 <= stages[-1][0] <= 0.02
        assert stages[-1][1] == 20
        assert all(later - earlier <= 2 for (_, earlier), (_, later) in itertools.pairwise(stages))
    # In a run of the paper's length there is nothing to stretch.
    stretched = follow(base, "published_stretched")[-1][0]
    assert stretched == pytest.approx(stages[-1][0], rel=0.2) if num_steps == 400_000 else stretched > 0.3


@pytest.mark.parametrize(("total_images", "patience_steps"), [(64 * 400_000, 200), (64 * 1000, None)])
def test_the_stretched_patience_is_200_steps_where_20_stages_of_it_fit_in_half_the_run(
    total_images: int, patience_steps: int | None
) -> None:
    base = replace(BASE, training=Training(total_images=total_images, batch_size=64))
    for name in STRETCHED.values():
        pacing = made(baseline(name, base), base).curriculum.pacing
        assert isinstance(pacing, Plateau)
        assert pacing.end_share == 0.5
        steps = pacing.patience_share * base.training.num_steps
        if patience_steps:
            assert steps == pytest.approx(patience_steps)
        else:
            assert 20 * steps < 0.5 * base.training.num_steps


def test_a_control_keeps_the_training_and_takes_the_exposure_without_an_order() -> None:
    leader = Arm(
        name="trial 4",
        role="searched",
        values={
            "training.learning_rate": 3e-3,
            "curriculum.order.kind": "easy_to_hard",
            "curriculum.num_clusters": 3,
            "density.kind": "beta",
            "density.a": 2.0,
            "density.b": 1.0,
        },
    )
    control = exposure_control(leader, {"edges": [0.0, 0.4, 1.0], "mass": [0.1, 0.9]})
    experiment = made(control)
    assert experiment.density == Histogram(edges=(0.0, 0.4, 1.0), mass=(0.1, 0.9))
    assert experiment.training.learning_rate == 3e-3
    assert experiment.curriculum.canonical().order.all_at_once
    assert (control.role, control.control_of) == ("control", "trial 4")
    assert title(control, experiment) == "trial 4, exposure only"


def test_arms_have_names_for_people() -> None:
    assert title(baseline("no_curriculum", BASE), BASE) == "no curriculum"
    arm = baseline("random_order", BASE)
    assert title(arm, made(arm)) == "random order (2 % of the run): random, 20 clusters, plateau"
    arm = baseline("published_stretched", BASE)
    assert title(arm, made(arm)) == "published stretched (50 % of the run): easy to hard, 20 clusters, plateau"
    assert BASE.curriculum.describe() == "random, 7 clusters, step, newest"
    assert Curriculum(num_clusters=1).describe() == "no curriculum"


def test_a_density_that_moves_is_a_curriculum_whose_settings_ordinary_training_takes_without_it() -> None:
    moving = {"density.kind": "moving", "density.pacing.kind": "step", "density.pacing.end_share": 0.25}
    arm = Arm(
        name="trial 2",
        role="searched",
        values={"training.learning_rate": 3e-3, "curriculum.order.kind": "none", **moving},
    )
    assert not is_ordinary(made(arm))
    assert title(arm, made(arm)) == "trial 2: logit normal to uniform, step"
    ordinary = made(ordinary_with_settings_of(arm))
    assert is_ordinary(ordinary)
    assert (ordinary.density, ordinary.training.learning_rate) == (BASE.density, 3e-3)
    control = made(exposure_control(arm, {"edges": [0.0, 0.4, 1.0], "mass": [0.1, 0.9]}))
    assert control.density == Histogram(edges=(0.0, 0.4, 1.0), mass=(0.1, 0.9))
    both = replace(arm, values={**arm.values, "curriculum.order.kind": "hard_to_easy"})
    assert title(both, made(both)).endswith("; logit normal to uniform, step")


def test_a_constant_density_that_was_searched_is_kept_beside_its_settings() -> None:
    values = {"density.kind": "beta", "density.a": 2.0, "curriculum.order.kind": "easy_to_hard"}
    arm = Arm(name="trial 2", role="searched", values=values)
    assert made(ordinary_with_settings_of(arm)).density == Beta(a=2.0)
