"""An experiment file with its plug-ins, by itself and inside a study file."""

from dataclasses import replace
from pathlib import Path

import pytest

from curriculum_search.experiment import Experiment
from curriculum_search.export import BEST, experiment_yaml, write_best
from curriculum_search.loading import PluginRunner, UserError, load_experiment, load_experiment_or_base

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
