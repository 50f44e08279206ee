"""Training code that a file names: it lies beside that file, is said before it is run, and can be refused."""

from pathlib import Path

import pytest

from curriculum_search.experiment import CommandTrainer, FunctionTrainer
from curriculum_search.loading import PluginRunner, UserError, load_experiment, with_values
from curriculum_search.search.load import load_study

TRAINER = "trainer: {kind: function, path: code/mine.py, metrics: {score: minimize}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text("def train(run):\n    pass\n")
    (tmp_path / "mine.yaml").write_text(TRAINER)
    return tmp_path / "mine.yaml"


def test_a_path_starts_at_the_file_that_names_it(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    code = file.parent / "code" / "mine.py"
    experiment, _ = load_experiment(file, {})
    assert isinstance(experiment.trainer, FunctionTrainer)
    assert experiment.trainer.path == str(code)
    assert capsys.readouterr().out == f"training code that is run: {code}\n"
    command = "trainer: {kind: command, command: [python, mine.py], folder: code, metrics: {score: minimize}}\n"
    file.write_text(command)
    trainer = load_experiment(file, {})[0].trainer
    assert isinstance(trainer, CommandTrainer)
    assert trainer.folder == str(file.parent / "code")
    file.write_text(command.replace("folder: code, ", ""))
    trainer = load_experiment(file, {})[0].trainer
    assert isinstance(trainer, CommandTrainer)
    assert trainer.folder == str(file.parent)


def test_a_study_finds_its_code_likewise(file: Path) -> None:
    study = file.with_name("study.yaml")
    study.write_text(f"study: {{name: a, objective: score}}\nbase:\n  {TRAINER}space: {{}}\n")
    trainer = load_study(study, {"base.trainer.params.lr": 0.1}).base.trainer
    assert isinstance(trainer, FunctionTrainer)
    assert (trainer.path, trainer.params) == (str(file.parent / "code" / "mine.py"), {"lr": 0.1})


def test_where_no_code_may_be_run_such_a_file_is_refused(file: Path) -> None:
    with pytest.raises(UserError, match=r"^.*mine.yaml: trainer: .* would be run, which --no-plugins forbids$"):
        load_experiment(file, {}, PluginRunner(allowed=False))


def test_a_parameter_may_have_any_name() -> None:
    raw = {"trainer": {"kind": "function", "params": {"a": 1, "kind": "x", "deep": {"kind": "y", "b": 2}}}}
    values = {"trainer.params.kind": "z", "trainer.params.deep.kind": "w"}
    assert with_values(raw, values, "here")["trainer"]["params"] == {"a": 1, "kind": "z", "deep": {"kind": "w", "b": 2}}
