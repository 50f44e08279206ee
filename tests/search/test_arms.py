"""The arms of a study: baselines, controls, and their names."""

from dataclasses import replace

import pytest

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
from curriculum_search.diffusion import Histogram
from curriculum_search.experiment import Experiment, Training
from curriculum_search.loading import validated, with_values
from curriculum_search.search.arms import Arm, BaselineName, baseline, exposure_control, title

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


@pytest.mark.parametrize(("name", "order"), [("reversed", HardToEasy()), ("random_order", RandomOrder())])
def test_the_other_baselines_differ_from_it_in_their_order_alone(name: BaselineName, order: object) -> None:
    published, other = made(baseline("published", BASE)).curriculum, made(baseline(name, BASE)).curriculum
    assert other.order == order
    assert replace(other, order=published.order) == published


@pytest.mark.parametrize(("total_images", "patience_steps"), [(64 * 400_000, 200), (64 * 1000, None)])
def test_the_published_patience_is_200_steps_where_20_stages_of_it_fit_in_half_the_run(
    total_images: int, patience_steps: int | None
) -> None:
    base = replace(BASE, training=Training(total_images=total_images, batch_size=64))
    pacing = made(baseline("published", base), base).curriculum.pacing
    assert isinstance(pacing, Plateau)
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
    assert title(arm, made(arm)) == "random order: random, 20 clusters, plateau"
    assert BASE.curriculum.describe() == "random, 7 clusters, step, newest"
    assert Curriculum(num_clusters=1).describe() == "no curriculum"
