"""An experiment file with its plug-ins, by itself and inside a study file."""

from dataclasses import replace
from pathlib import Path

import pytest

from curriculum_search.experiment import Experiment
from curriculum_search.export import BEST, experiment_yaml, write_best
from curriculum_search.loading import PluginRunner, UserError, load_experiment, load_experiment_or_base, parse_overrides

SOURCE = "# of test_experiments\n"


@pytest.mark.parametrize("section", ["", "base"])
def test_its_plug_ins_are_run_or_refused_under_their_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str
) -> None:
    path, plugin = tmp_path / "x.yaml", tmp_path / "mine.py"
    plugin.write_text(SOURCE)
    path.write_text("{base: {plugins: [mine.py]}}" if section else "{plugins: [mine.py]}")
    field = f"{section}.plugins".lstrip(".")
    with pytest.raises(
        UserError, match=rf"^{path}: {field}: \[\"mine\.py\"\] would be run, which --no-plugins forbids$"
    ):
        load_experiment_or_base(path, {}, PluginRunner(allowed=False))
    assert "plug-ins" not in capsys.readouterr().out
    assert load_experiment_or_base(path, {}) == (Experiment(plugins=("mine.py",)), {"mine.py": SOURCE})
    assert capsys.readouterr().out.endswith(f"plug-ins that are run: {plugin}\n")
    without, _ = load_experiment_or_base(path, {"plugins": []}, PluginRunner(allowed=False))
    assert without == Experiment()


def test_a_file_without_plug_ins_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("seed: 1")
    assert load_experiment(path, {}, PluginRunner(allowed=False)) == (Experiment(seed=1), {})
    assert capsys.readouterr() == ("", "")


def test_an_exported_config_takes_its_plug_ins_along_in_their_folders(tmp_path: Path) -> None:
    sources = {"mine.py": SOURCE, "more/mine.py": f"{SOURCE}# more\n"}
    experiment = Experiment(seed=3)
    write_best(tmp_path, experiment, sources, comment="x", evidence={})
    again, plugins = load_experiment(tmp_path / BEST, {})
    assert (again, plugins) == (replace(experiment, plugins=tuple(sources)), sources)
    assert experiment_yaml(again, "x") == (tmp_path / BEST).read_text()


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
