"""Where a field takes whole numbers, these may be written as floats."""

from pathlib import Path

import pytest

from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError, parse_value, validated
from curriculum_search.search.load import load_study
from curriculum_search.search.space import Distribution


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1:30", r'training\.batch_size: must be a whole number, not "1:30"'),
        ("1_000", r'training\.batch_size: must be a whole number, not "1_000"'),
        ("yes", r'training\.batch_size: must be a whole number, not "yes"'),
        ("1.5e1", None),
        ("15.5", r"training\.batch_size: must be a whole number, not 15\.5"),
        ("1e300", r"training\.batch_size: must be a whole number, not 1e\+300"),
        (".inf", r"training\.batch_size: must be a whole number, not Infinity"),
        ("true", r"training\.batch_size: must be a whole number, not true"),
    ],
)
def test_a_field_of_whole_numbers_takes_these_however_they_are_written(value: str, message: str | None) -> None:
    raw = {"training": {"total_images": parse_value("30e3"), "noise_shards": 1, "batch_size": parse_value(value)}}
    if message is None:
        training = validated(Experiment, raw, "x").training
        assert (training.total_images, training.batch_size) == (30000, 15)
        assert {type(training.total_images), type(training.batch_size)} == {int}
        return
    with pytest.raises(UserError, match=f"^x: {message}$"):
        validated(Experiment, raw, "x")


def test_whole_numbers_written_as_floats_are_the_same_experiment() -> None:
    def experiment(total: str, shards: str) -> Experiment:
        raw = {"training": {"total_images": parse_value(total), "noise_shards": parse_value(shards)}}
        return validated(Experiment, raw | {"cadence": {"status_images": parse_value(shards)}}, "x")

    assert experiment("64e3", "8.0") == experiment("64000", "8")
    assert experiment("64e3", "8.0").identity() == experiment("064000", "0o10").identity()


def test_a_number_that_need_not_be_whole_and_a_switch_stay_what_they_are() -> None:
    raw = {"training": {"learning_rate": 1, "betas": [0.5, 0.0], "compile": False}}
    training = validated(Experiment, raw, "x").training
    assert [type(v) for v in (training.learning_rate, *training.betas, training.compile)] == [float] * 3 + [bool]
    with pytest.raises(UserError, match=r"^x: training\.compile: must be true or false, not \"on\"$"):
        validated(Experiment, {"training": {"compile": parse_value("on")}}, "x")
    with pytest.raises(UserError, match=r"^x: training\.compile: must be true or false, not 1\.0$"):
        validated(Experiment, {"training": {"compile": 1.0}}, "x")


def test_a_space_takes_whole_numbers_written_as_floats(tmp_path: Path) -> None:
    raw = parse_value("{a: {kind: int, low: 1e3, high: 2.0e+3, step: 5e2}}")
    (distribution,) = validated(dict[str, Distribution], raw, "x").values()
    assert distribution.values(9) == [1000, 1500, 2000]
    path = tmp_path / "study.yaml"
    path.write_text(
        """
study: {name: tiny, objective: val_loss, trials: 2.0}
base:
  model: {kind: dit, patch_size: 4, hidden_size: 16, depth: 1, num_heads: 2}
  training: {total_images: 64e1, batch_size: 16, num_evaluations: 4}
  evaluation: {evaluators: [{kind: val_loss, num_images: 8e0}], final_evaluators: []}
space:
  training.total_images: {kind: categorical, choices: [64e1, 32e1]}
  curriculum.order.kind: {kind: categorical, choices: [easy_to_hard, none]}
"""
    )
    file = load_study(path, {})
    trained = file.trial({"training.total_images": 320.0, "curriculum.order.kind": "none"}).experiment.training
    assert (file.study.trials, file.base.training.total_images, trained.total_images) == (2, 640, 320)
    assert type(trained.total_images) is int


def test_a_field_of_several_types_is_named_by_its_path_alone() -> None:
    def encoder(scale: object) -> Experiment:
        return validated(Experiment, {"encoder": {"kind": "vae", "path": "vae", "scale": scale}}, "x")

    assert encoder(2).encoder.to_dict()["scale"] == 2
    assert encoder([1, 0.5]).encoder.to_dict()["scale"] == [1, 0.5]
    words = 'x: encoder.scale: must be a number, not "wide"\nx: encoder.scale: must be a list, not "wide"'
    with pytest.raises(UserError, match=f"^{words}$"):
        encoder("wide")
