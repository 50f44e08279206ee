"""Arms that a study's file names: how they are written, what they train, and what is none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.workplace import REPOSITORY, Workplace

from curriculum_search.curriculum import (
    Curriculum,
    EasyToHard,
    GivenOrder,
    GivenPartition,
    Linear,
    NoOrder,
    RandomOrder,
    Root,
)
from curriculum_search.diffusion import DDPM, Beta, Flow, Histogram, LogitNormal, Uncertainty, Uniform
from curriculum_search.experiment import Experiment, Training
from curriculum_search.export import curriculum_of, write_curriculum
from curriculum_search.loading import UserError, validated, with_values
from curriculum_search.search.arms import Arm, exposure_control, ordinary_with_settings_of, title
from curriculum_search.search.design import Design
from curriculum_search.search.load import load_study
from curriculum_search.search.named_arms import levels_of, named_arm

BASE = Experiment(training=Training(total_images=6400, batch_size=64))
SHUFFLED = replace(BASE, curriculum=Curriculum(num_clusters=5, order=RandomOrder(seed=3), pacing=Root(end_share=0.7)))


def made(arm: Arm, base: Experiment = BASE) -> Experiment:
    return validated(Experiment, with_values(base.to_dict(), dict(arm.values), "arm"), "arm")


def written(folder: Path, experiment: Experiment) -> str:
    """The path of an experiment's curriculum.json."""
    return str(write_curriculum(folder / "theirs.json", experiment, {}))


def test_values_are_set_over_the_curriculum_of_base() -> None:
    arm = named_arm("slow", {"curriculum.num_clusters": 10, "curriculum": {"pacing": {"end_share": 0.8}}}, BASE)
    assert arm.role == "named"
    assert made(arm).curriculum == Curriculum(num_clusters=10, pacing=Linear(end_share=0.8))
    assert title(arm, made(arm)) == "slow: easy to hard, 10 clusters, linear"


def test_what_says_nothing_of_a_curriculum_has_none() -> None:
    arm = named_arm("my_density", {"density": {"kind": "beta", "a": 2.0}}, BASE)
    assert made(arm).curriculum.order == NoOrder()
    assert made(arm).density == Beta(a=2.0)
    assert title(arm, made(arm)) == "my_density: density beta"
    weighted = named_arm("snr", {"weighting.kind": "min_snr", "curriculum.num_clusters": 3}, BASE)
    assert title(weighted, made(weighted)) == "snr: easy to hard, 3 clusters, linear, weighting min_snr"


@pytest.mark.parametrize("order", [EasyToHard(), RandomOrder(seed=3)])
def test_a_curriculum_file_is_followed_as_it_is(tmp_path: Path, order: Any) -> None:
    theirs = replace(SHUFFLED, curriculum=replace(SHUFFLED.curriculum, order=order))
    arm = named_arm("theirs", written(tmp_path, theirs), BASE)
    assert made(arm).density == Uniform()  # as in base
    assert curriculum_of(made(arm)) == curriculum_of(theirs)
    assert isinstance(made(arm).curriculum.partition, GivenPartition)
    words = "easy to hard" if isinstance(order, EasyToHard) else "given"
    assert title(arm, made(arm)) == f"theirs: {words}, 5 clusters, root"


def test_a_curriculum_file_brings_its_density_and_keeps_its_shares_in_a_run_of_another_length(tmp_path: Path) -> None:
    theirs = replace(SHUFFLED, density=LogitNormal(), process=DDPM(prediction="v"))
    other = replace(BASE, training=Training(total_images=640, batch_size=32))
    arm = named_arm("theirs", written(tmp_path, theirs), other)
    experiment = made(arm, other)
    assert isinstance(experiment.density, Histogram)
    assert isinstance(experiment.curriculum.order, GivenOrder)
    assert levels_of(experiment) == levels_of(theirs)


def test_a_curriculum_file_brings_the_weighting_that_is_learned_with_it(tmp_path: Path) -> None:
    theirs = replace(SHUFFLED, weighting=Uncertainty(channels=16))
    path = written(tmp_path, theirs)
    arm = named_arm("theirs", path, BASE)
    assert made(arm).weighting == theirs.weighting
    assert levels_of(made(arm)) == levels_of(theirs)
    assert "weighting" not in named_arm("theirs", path, replace(BASE, weighting=theirs.weighting)).values


def test_density_and_weighting_stay_with_the_arm_and_other_settings_are_ordinary_trainings_too() -> None:
    values = {"curriculum.num_clusters": 3, "density.kind": "beta", "weighting.kind": "p2", "training.decay": "cosine"}
    arm = named_arm("mine", values, BASE)
    ordinary = made(ordinary_with_settings_of(arm))
    assert ordinary == replace(
        BASE, curriculum=replace(BASE.curriculum, order=NoOrder()), training=replace(BASE.training, decay="cosine")
    )
    control = made(exposure_control(arm, {"edges": [0.0, 0.5, 1.0], "mass": [0.1, 0.9]}))
    assert control.density == Histogram(edges=(0.0, 0.5, 1.0), mass=(0.1, 0.9))
    assert (control.weighting, control.training) == (made(arm).weighting, made(arm).training)
    assert control.curriculum.order == NoOrder()


def test_a_density_that_does_not_stay_has_a_control_for_what_its_order_brings(workplace: Workplace) -> None:
    arms = "study.arms={a: {density.kind: moving}, b: {density.kind: beta}, c: {density.kind: loss_second_moment}}"
    design = Design.of(workplace.load(arms))
    assert design.plan is not None
    assert set(design.plan.controls) == {"a", "c", "leader 1"}


def test_an_arm_of_the_file_can_be_changed_and_left_out_on_the_command_line(workplace: Workplace) -> None:
    arms = "study.arms={a: {curriculum.num_clusters: 3}, b: {curriculum.num_clusters: 4}}"
    file = workplace.load(arms, "study.arms.a.curriculum.num_clusters=7", "study.arms.b=null")
    (arm,) = file.arms
    assert (arm.name, file.experiment(arm, 0).curriculum.num_clusters) == ("a", 7)


def test_a_study_without_trials_needs_no_space(workplace: Workplace) -> None:
    arms = "study.arms={a: {curriculum.num_clusters: 3, training.learning_rate: 2e-3}, b: {density.kind: beta}}"
    design = Design.of(workplace.load(arms, "study.trials=0", "space=null"))
    assert (design.baselines, design.trials) == (0, 0)
    assert design.plan is not None
    assert (design.plan.leaders, design.plan.controls) == (("a", "b"), {"a": "a / exposure"})
    # Two arms, a control, the published setting, ordinary training twice and with the learning rate of one.
    assert design.confirmation == (2 + 1 + 1 + 2 + 1) * 2
    assert design.least_images == design.confirmation * 320
    assert design.least_parts == "the least confirmation (14 runs)"


MISTAKES: dict[str, tuple[str, str]] = {
    "an unknown path": ("{slow: {curriculum.num_cluster: 3}}", ".slow.curriculum.num_cluster: no such field (did you "),
    "a value out of range": (
        "{slow: {curriculum.num_clusters: 0}}",
        ".slow.curriculum: num_clusters must be at least 1",
    ),
    "more clusters than timesteps": (
        "{slow: {curriculum.num_clusters: 2000}}",
        ".slow: curriculum: num_clusters must be in [1, 1000] (the timesteps), not 2000",
    ),
    "a baseline's name": ("{published: {curriculum.num_clusters: 3}}", ": published is the name of a baseline"),
    "a name of several words": ("{trial 3: {curriculum.num_clusters: 3}}", ": an arm's name must be 1 to 40 letters"),
    "a name with a point": ("{'a.b': {curriculum.num_clusters: 3}}", ": an arm's name must be 1 to 40 letters"),
    "no arm": (
        "{slow: 3}",
        ".slow: must be values by their path in base, as in {curriculum.num_clusters: 10}, or the ",
    ),
    "other images": (
        "{slow: {training.total_images: 640, curriculum.num_clusters: 3}}",
        ".slow: training.total_images: all arms of a study share it; set it in base",
    ),
    "another metric": ("{slow: {evaluation.seed: 3}}", ".slow: evaluation.seed: all arms of a study share it"),
    "another arm again": (
        "{a: {curriculum.num_clusters: 3}, b: {curriculum: {num_clusters: 3, pacing: {kind: polynomial}}}}",
        ".b: trains exactly as a does; leave one of the two out",
    ),
    "nothing": ("{slow: {}}", ".slow: trains exactly as no_curriculum does; leave one of the two out"),
    "a curriculum of one cluster": (
        "{slow: {curriculum.num_clusters: 1}}",
        ".slow: trains exactly as no_curriculum does; leave one of the two out",
    ),
    "a baseline": (
        "{mine: {curriculum.pacing: {kind: plateau, patience_share: 0.0005, max_stage_share: 0.001, end_share: 0.02}}}",
        ".mine: trains exactly as published does; leave one of the two out",
    ),
    "another learning rate": (
        "{fast: {training.learning_rate: 0.1}}",
        ".fast: differs from no_curriculum in training.learning_rate alone, which ordinary training may have as well",
    ),
    "no such file": ("{theirs: nowhere.json}", ".theirs: nowhere.json cannot be read (No such file or directory)"),
}


@pytest.mark.parametrize(("arms", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_what_is_no_arm_is_told_in_one_line(workplace: Workplace, arms: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        workplace.load(f"study.arms={arms}")
    prefix = f"{workplace.study}: study" + ("" if message.startswith((".", ":")) else ".")
    told = str(caught.value).replace("study: arms", "study.arms")
    assert told.startswith(prefix + ".arms" + message), told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda folder: written(folder, replace(BASE, process=Flow())), "is a curriculum over the levels of another "),
        (
            lambda folder: written(folder, replace(BASE, process=DDPM(schedule="cosine"))),
            'is a curriculum over the levels of another process, {"kind": "ddpm", "schedule": "cosine", ',
        ),
        (lambda folder: _damaged(folder / "theirs.json"), "is not a curriculum file: it needs format "),
    ],
    ids=["another process", "another schedule", "something else"],
)
def test_a_curriculum_file_that_does_not_fit_ends_the_command_before_anything_starts(
    workplace: Workplace, no_ray: None, make: Callable[[Path], str], problem: str
) -> None:
    path = make(workplace.folder)
    status, out, err = workplace.call("search", workplace.study, f"study.arms={{theirs: {path}}}")
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {workplace.study}: study.arms.theirs: {path} {problem}")
    assert err.count("\n") == 1
    assert not (workplace.results / "tiny").exists()


def _damaged(path: Path) -> str:
    path.write_text(json.dumps({"format": "something else"}))
    return str(path)


def test_the_study_of_the_documentation_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (REPOSITORY / "docs" / "how-to" / "compare-named-arms.md").read_text()
    text = page[page.index("```yaml\n") + 8 :]
    (tmp_path / "mine.yaml").write_text(text[: text.index("```")])
    written(tmp_path, SHUFFLED)
    monkeypatch.chdir(tmp_path)
    file = load_study(Path("mine.yaml"), {})
    assert [arm.name for arm in file.arms] == list(
        yaml.safe_load((tmp_path / "mine.yaml").read_text())["study"]["arms"]
    )
    assert [file.has_order(arm) for arm in file.arms] == [True, False, True]
