"""Plug-ins are code: a command says which it runs before it does, they lie beside the file that names them, and
``--no-plugins`` refuses them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.jobs import base_job
from support.workplace import Workplace

from curriculum_search.curriculum import Pacing
from curriculum_search.experiment import Experiment
from curriculum_search.export import write_best
from curriculum_search.loading import (
    PluginRunner,
    UserError,
    define_plugins,
    load_experiment,
    parse_overrides,
    read_plugins,
)
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Job
from curriculum_search.search.load import load_study
from curriculum_search.search.warm_start import check_warm_start

REPOSITORY = Path(__file__).parents[2]

#: A pacing whose kind, class and share are to be filled in.
PACING = """
from dataclasses import dataclass
from typing import Literal
from curriculum_search.curriculum import FixedPacing

@dataclass(frozen=True, kw_only=True)
class {name}(FixedPacing):
    kind: Literal["{kind}"] = "{kind}"
    share: float = {share}

    def fraction(self, progress: float) -> float:
        return float(progress >= self.share)
"""


def pacing(kind: str, *, share: float = 0.5, name: str = "Late") -> str:
    return PACING.format(kind=kind, share=share, name=name)


def experiment_file(folder: Path, *plugins: str, kind: str | None = None) -> Path:
    path = folder / "experiment.yaml"
    curriculum = {} if kind is None else {"curriculum": {"pacing": {"kind": kind}}}
    path.write_text(json.dumps({"plugins": plugins, **curriculum}))
    return path


def run_job(name: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, f"jobs/{name}.py", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a file into the folder of the experiment file, or where else it is to be."""

    def call(name: str, source: str, folder: Path = tmp_path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return path

    return call


# --- What is said ---


def test_a_command_says_which_files_it_runs_before_it_runs_them(tmp_path: Path, put: Put) -> None:
    files = [put(name, f"print('running {name}')\n") for name in ("first.py", "more/second.py")]
    experiment = experiment_file(tmp_path, "first.py", "more/second.py")
    done = run_job("export", experiment, tmp_path / "curriculum.json")
    assert (done.returncode, done.stderr) == (0, "")
    told, *running, written = done.stdout.splitlines()
    assert told == f"plug-ins that are run: {files[0]}, {files[1]}"
    assert running == ["running first.py", "running more/second.py"]
    assert written.startswith(f"{tmp_path / 'curriculum.json'}: ")


def test_each_file_is_named_once_by_a_command(tmp_path: Path, put: Put, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = put("a.py", "A = 1\n"), put("b.py", "B = 1\n")
    runner = PluginRunner()
    for names in (["a.py"], ["a.py", "b.py"], ["b.py"]):
        runner.run(names, "x", tmp_path)
    assert capsys.readouterr().out == f"plug-ins that are run: {a}\nplug-ins that are run: {b}\n"
    PluginRunner().run(["a.py"], "x", tmp_path)  # another command
    assert capsys.readouterr().out == f"plug-ins that are run: {a}\n"


def test_a_worker_runs_them_without_a_word(workplace: Workplace, capfd: pytest.CaptureFixture[str]) -> None:
    job = base_job(workplace, workplace.load(), "key")
    fields = job.encode() | {"plugins": {"new.py": f"# {workplace.folder}\n"}}
    capfd.readouterr()
    Job.decode(fields)
    assert capfd.readouterr() == ("", "")


# --- What is refused ---


#: All but `report`, which is given the folder of a study (tests/search/test_reading.py).
COMMANDS = {path.stem for path in REPOSITORY.joinpath("jobs").glob("*.py")} - {"report"}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_refuses_plug_ins_where_none_is_allowed(tmp_path: Path, put: Put, command: str) -> None:
    marker = tmp_path / "marker"
    put("mine.py", f"open({str(marker)!r}, 'w')\n")
    file, field = experiment_file(tmp_path, "mine.py"), "plugins"
    if command == "search":
        file, field = put("study.yaml", "study: {}\nbase: {plugins: [mine.py]}\nspace: {}\n"), "base.plugins"
    output = [tmp_path / "output"] if command in ("export", "encode") else []
    done = run_job(command, file, *output, "--no-plugins")
    message = f'error: {file}: {field}: ["mine.py"] would be run, which --no-plugins forbids\n'
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    assert not marker.exists()


def test_a_runs_folder_is_refused_likewise(tmp_path: Path, put: Put) -> None:
    marker = tmp_path / "marker"
    run = RunFolder(tmp_path / "run")
    run.write_experiment(Experiment(), {"mine.py": f"open({str(marker)!r}, 'w')\n"})
    run.checkpoint.touch()
    done = run_job("evaluate", run.path, "--no-plugins", "evaluation.batch_size=8")
    assert done.returncode == 2
    assert done.stderr == f'error: {run.experiment}: plugins: ["mine.py"] would be run, which --no-plugins forbids\n'
    assert not marker.exists()


@pytest.mark.parametrize("allowed", [True, False])
def test_what_a_study_starts_from_is_treated_as_the_study(
    workplace: Workplace, put: Put, capsys: pytest.CaptureFixture[str], allowed: bool
) -> None:
    best = experiment_file(put("old/mine.py", pacing(f"of_warm_start_{allowed}")).parent, "mine.py")
    override = [f"study.warm_start=[{best}]", "base.plugins=[]", "base.evaluation.evaluators=[{kind: val_loss}]"]
    file = load_study(workplace.study, parse_overrides(override), PluginRunner(allowed=allowed))
    if allowed:
        check_warm_start(file)
        check_warm_start(file)
        assert capsys.readouterr().out == f"plug-ins that are run: {best.parent / 'mine.py'}\n"
        return
    with pytest.raises(UserError, match=r"study\.warm_start: .*plugins: .* would be run, which --no-plugins forbids"):
        check_warm_start(file)


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory, put: Put) -> Path:
    """A folder with a plug-in that must not be run."""
    folder = tmp_path_factory.mktemp("elsewhere")
    put("evil.py", f"open({str(folder / 'marker')!r}, 'w')\n", folder)
    return folder


@pytest.mark.parametrize("way", ["dots", "absolute", "link", "linked folder", "dots through a link", "home"])
def test_a_plug_in_outside_the_files_folder_is_not_run(
    tmp_path: Path, elsewhere: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(elsewhere))
    (tmp_path / "link.py").symlink_to(elsewhere / "evil.py")
    (tmp_path / "folder").symlink_to(elsewhere)
    (elsewhere / "below").mkdir()
    (tmp_path / "below").symlink_to(elsewhere / "below")
    given = {
        "dots": os.path.relpath(elsewhere / "evil.py", tmp_path),
        "absolute": str(elsewhere / "evil.py"),
        "link": "link.py",
        "linked folder": "folder/evil.py",
        "dots through a link": "below/../evil.py",
        "home": "~/evil.py",
    }[way]
    message = r"cannot be read \(No such" if way == "home" else rf"lies outside {tmp_path}, at {elsewhere}/evil\.py; "
    with pytest.raises(UserError, match=rf"^{tmp_path}/experiment\.yaml: plugins: .*{given} {message}"):
        load_experiment(experiment_file(tmp_path, given), {})
    assert not (elsewhere / "marker").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere.py", r"{folder}/nowhere\.py cannot be read \(No such file or directory\)"),
        ("folder.py", r"{folder}/folder\.py is no file"),
        ("pipe.py", r"{folder}/pipe\.py is no file"),
        ("latin.py", r"{folder}/latin\.py is not a text file"),
        ("checkpoint.pt", r'must be names of Python files \(\.py\), not "checkpoint\.pt"'),
        ("", r'must be names of Python files \(\.py\), not ""'),
        ("a\x00.py", r'must be names of Python files \(\.py\), not "a\\u0000\.py"'),
        ("\x1b[2K.py", r'must be names of Python files \(\.py\), not "\\u001b\[2K\.py"'),
        ("\u202eyp.py", r'must be names of Python files \(\.py\), not "\\u202eyp\.py"'),
        ("circle.py", r"{folder}/circle\.py cannot be read \(Too many levels of symbolic links\)"),
    ],
)
def test_what_is_no_plug_in_is_named(tmp_path: Path, put: Put, given: str, message: str) -> None:
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "latin.py").write_bytes(b"# caf\xe9\n")
    (tmp_path / "circle.py").symlink_to(tmp_path / "circle.py")
    put("checkpoint.pt", "")
    with pytest.raises(UserError, match=f"^x: plugins: {message.replace('{folder}', str(tmp_path))}$"):
        read_plugins([given], "x", tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("def f(:\n", r"SyntaxError: invalid syntax \(bad\.py, line 1\)"),
        ("raise KeyError('x')\n", "KeyError: 'x'"),
    ],
)
def test_whatever_ends_a_plug_in_is_told(source: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^plug-in bad\\.py fails: {message}$"):
        define_plugins({"bad.py": source})


# --- What goes on working ---


def test_a_file_below_an_absolute_path_and_a_link_within_the_folder_are_fine(tmp_path: Path, put: Put) -> None:
    real = put("kinds/real.py", "# real\n")
    (tmp_path / "link.py").symlink_to(real)
    (tmp_path.parent / f"{tmp_path.name}-link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path.parent / f"{tmp_path.name}-link"):
        for given in ("kinds/real.py", "kinds/../kinds/real.py", str(real), "link.py"):
            assert read_plugins([given], "x", folder) == {"kinds/real.py": "# real\n"}


def test_two_of_one_name_are_both_run_and_kept_apart(tmp_path: Path, put: Put) -> None:
    put("a/mine.py", pacing("of_folder_a"))
    put("b/mine.py", pacing("of_folder_b", name="Later"))
    path = experiment_file(tmp_path, "a/mine.py", "b/mine.py", kind="of_folder_b")
    experiment, plugins = load_experiment(path, {})
    assert {"of_folder_a", "of_folder_b"} <= Pacing.kinds().keys()
    assert list(plugins) == ["a/mine.py", "b/mine.py"]
    run = RunFolder(tmp_path / "run")
    run.write_experiment(experiment, plugins)
    assert read_plugins(run.read_experiment()["plugins"], "x", run.path) == plugins
    best, _ = write_best(tmp_path / "study", experiment, plugins, comment="x", evidence={})
    assert load_experiment(best, {}) == (replace(experiment, plugins=("a/mine.py", "b/mine.py")), plugins)


@pytest.mark.parametrize("name", ["random.py", "json.py", "torch.py", "curriculum_search.py", "my-pacing.v2.py"])
def test_a_plug_in_may_be_called_what_a_module_is_called(tmp_path: Path, put: Put, name: str) -> None:
    import random

    kind = f"of_{name}"
    put(name, f"import json, random, torch, curriculum_search\nassert random.random() < 1\n{pacing(kind)}")
    experiment, plugins = load_experiment(experiment_file(tmp_path, name, kind=kind), {})
    assert experiment.to_dict()["curriculum"]["pacing"]["kind"] == kind
    assert sys.modules["random"] is random
    job = Job(
        key="key",
        experiment=experiment,
        run_dir=tmp_path,
        cache_dir=tmp_path,
        plugins=plugins,
        working_dir=tmp_path,
    )
    assert Job.decode(job.encode()).experiment == experiment


def test_a_copy_of_a_plug_in_is_the_plug_in_whatever_its_name(tmp_path: Path, put: Put) -> None:
    for name in ("mine.py", "old/mine.py", "copy.py"):
        put(name, pacing("of_a_copy"))
        read = read_plugins([name], "x", tmp_path)
        define_plugins(read)
    first = Pacing.kinds()["of_a_copy"]
    define_plugins({"again.py": pacing("of_a_copy")})
    assert Pacing.kinds()["of_a_copy"] is first


def test_another_plug_in_does_not_take_the_place_of_a_kind_without_a_word() -> None:
    define_plugins({"new.py": pacing("of_two", share=0.5)})
    message = r"plug-in old\.py fails: ValueError: kind 'of_two' is already taken, by plug-in new\.py"
    with pytest.raises(UserError, match=message):
        define_plugins({"old.py": pacing("of_two", share=0.7)})


def test_a_plug_in_is_run_once_and_its_failure_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken_loading.py").write_text("x = 1 / 0\n")
    sources = read_plugins(["broken_loading.py"], "x", tmp_path)
    for _ in range(2):
        with pytest.raises(UserError, match=r"plug-in broken_loading\.py fails: ZeroDivisionError: division by zero"):
            define_plugins(sources)
    marker = tmp_path / "marker"
    source = {"once_loading.py": f"open({str(marker)!r}, 'a').write('x')"}
    define_plugins(source)
    define_plugins(source)
    assert marker.read_text() == "x"
