"""Experiment files, and the bases of study files in their place."""

from pathlib import Path

import pytest

from curriculum_search.loading import UserError, load_experiment, load_experiment_or_base, parse_overrides


def test_an_experiment_file_is_checked_like_a_study(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_text("training: {learning_rte: 0.1}")
    with pytest.raises(
        UserError, match=r"best\.yaml: training\.learning_rte: no such field \(did you mean learning_rate"
    ):
        load_experiment(path, {})
    path.write_text("training: {learning_rate: 0.1}")
    experiment, plugins = load_experiment(path, parse_overrides(["seed=3"]))
    assert (experiment.training.learning_rate, experiment.seed, plugins) == (0.1, 3, {})


def test_of_a_study_file_the_base_is_an_experiment_and_its_mistakes_are_named_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("study: {}\nbase: {seed: 3, training: {batch_size: 64}}\nspace: {}\n")
    experiment, _ = load_experiment_or_base(path, {"training.batch_size": 32})
    assert (experiment.seed, experiment.training.batch_size) == (3, 32)
    assert capsys.readouterr().out == f"{path} is a study file: its base is taken\n"
    with pytest.raises(UserError, match=r"study\.yaml: base\.sead: no such field \(did you mean seed\?\)"):
        load_experiment_or_base(path, {"sead": 1})
    path.write_text("base: {plugins: [mine.py]}\n")
    with pytest.raises(UserError, match=r"study\.yaml: base\.plugins: .*mine\.py cannot be read"):
        load_experiment_or_base(path, {})
    path.write_text("base: 3\n")
    with pytest.raises(UserError, match=r"study\.yaml: base: must hold a mapping of fields to values, not 3"):
        load_experiment_or_base(path, {})
