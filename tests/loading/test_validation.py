"""From plain values to configuration: whole numbers, however they are written, and no other guesses."""

import pytest

from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError, parse_value, validated


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
