from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum_search.curriculum import (
    Cumulative,
    Curriculum,
    EasyToHard,
    HardToEasy,
    Linear,
    MeasuredPartition,
    Newest,
    NoOrder,
    Pacing,
    Plateau,
    Polynomial,
    Quadratic,
    RandomOrder,
    Replay,
    Root,
    SingleStep,
    Step,
    UniformPartition,
)
from curriculum_search.diffusion import DDPM, Uniform

ORDINARY = Curriculum(order=NoOrder())


@pytest.mark.parametrize(
    "curriculum",
    [
        Curriculum(order=NoOrder(), num_clusters=7, accumulation=Newest(), pacing=Root(), reset_ema=True),
        Curriculum(num_clusters=1, pacing=Plateau(), union_density="equal"),
        Curriculum(pacing=Linear(start_unlocked=1.0)),
        Curriculum(pacing=SingleStep(switch_share=0.0)),
        Curriculum(order=NoOrder(), partition=MeasuredPartition(path="missing.json")),
    ],
)
def test_all_ways_to_write_ordinary_training_are_one(curriculum: Curriculum) -> None:
    assert curriculum.canonical() == ORDINARY
    sampler = curriculum.build(DDPM(), Uniform(), 1000, 10, "cpu")
    assert (sampler.stage, sampler.num_stages, sampler.unlocked_share) == (1, 1, 1.0)


@pytest.mark.parametrize(
    ("pacing", "same"),
    [
        (Polynomial(power=0.5, end_share=0.3), Root(end_share=0.3)),
        (Polynomial(power=1.0), Linear()),
        (Polynomial(power=2.0, start_unlocked=0.1), Quadratic(start_unlocked=0.1)),
        (SingleStep(switch_share=0.2, start_unlocked=0.3), Step(end_share=0.2, start_unlocked=0.3)),
        (Plateau(smoothing_share=0.3, checks_per_patience=9), Plateau()),
        (Plateau(gate="bank", window_steps=3, smoothing_share=0.3), Plateau(gate="bank")),
        (Plateau(max_stage_share=0.9, end_share=0.5), Plateau(max_stage_share=0.5, end_share=0.5)),
    ],
)
def test_fields_without_effect_make_no_difference(pacing: Pacing, same: Pacing) -> None:
    assert Curriculum(pacing=pacing).canonical() == Curriculum(pacing=same).canonical()


@pytest.mark.parametrize(
    "pacing",
    [
        Polynomial(power=3.0),
        Plateau(gate="smoothed", smoothing_share=0.3),
        Plateau(gate="bank", checks_per_patience=9),
        Plateau(window_steps=3),
        Linear(start_unlocked=0.5),
    ],
)
def test_fields_with_an_effect_stay(pacing: Pacing) -> None:
    assert Curriculum(pacing=pacing).canonical().pacing == pacing


def test_of_a_single_cluster_at_a_time_the_density_in_the_union_makes_no_difference() -> None:
    equal, base = (Curriculum(accumulation=Newest(), union_density=u) for u in ("equal", "base"))
    assert equal.canonical() == base.canonical()
    replay = Curriculum(accumulation=Replay(), union_density="equal")
    assert replay.canonical() == replay


@given(
    num_clusters=st.integers(1, 30),
    order=st.sampled_from([EasyToHard(), HardToEasy(), NoOrder(), RandomOrder(seed=3)]),
    accumulation=st.sampled_from([Cumulative(), Newest(), Replay()]),
    union_density=st.sampled_from(["base", "equal"]),
    pacing=st.sampled_from([Pacing.from_dict({"kind": kind}) for kind in sorted(Pacing.kinds())]),
)
def test_the_canonical_form_of_a_canonical_form_is_itself(**fields: Any) -> None:
    canonical = Curriculum(**fields).canonical()
    assert canonical.canonical() == canonical


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_clusters": 0}, "num_clusters must be at least 1, not 0"),
        ({"union_density": "even"}, "union_density must be one of base, equal, not 'even'"),
    ],
)
def test_values_without_meaning_are_errors_that_say_what_is_allowed(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Curriculum(**fields)


def test_what_is_resolved_is_what_is_built() -> None:
    curriculum = replace(ORDINARY, order=RandomOrder(seed=5), num_clusters=6, partition=UniformPartition())
    file = curriculum.resolve(DDPM(), Uniform(), 5000, 50)
    sampler = curriculum.build(DDPM(), Uniform(), 5000, 50, "cpu")
    assert list(file.edges) == sampler.edges.tolist()
    assert list(file.permutation) == sampler.permutation.tolist()
    assert (file.total_images, file.batch_size) == (5000, 50)
