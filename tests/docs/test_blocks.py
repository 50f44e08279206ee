"""What the pages show works: commands parse, files are valid, code compiles and finds what it imports."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support.commands import QUICKSTART, check_commands, commands
from support.pages import ROOT, Block, all_blocks, blocks, pages, prose, write_files

from curriculum_search.config import Kinded
from curriculum_search.experiment import Experiment
from curriculum_search.loading import PluginRunner, UserError, dotted, read_yaml, validated, with_values
from curriculum_search.search.load import load_study
from curriculum_search.search.space import Distribution, Space
from curriculum_search.search.study import Study

SECTIONS = ("study", "base", "space")
EXPERIMENT = tuple(field.name for field in fields(Experiment))
STUDY = tuple(field.name for field in fields(Study))
INLINE = re.compile(r"(?<!`)`((?:python|make|\.venv/bin/\w+) [^`]+)`(?!`)")
#: Packages of the codebases that adapters are for, which are not installed here.
THEIRS = {"accelerate"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a reader is: in the repository, without the data that the pages name.  Kinds of the pages end with it."""
    for name in ("jobs", "benchmarks", "docs", "search_spaces", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Experiment, "check", lambda self: None)
    families = {family: dict(family._members) for family in Kinded.__subclasses__()}
    modules = set(sys.modules)
    yield tmp_path
    for family, members in families.items():
        family._members.clear()
        family._members.update(members)
    for name in set(sys.modules) - modules:
        if name.startswith("curriculum_search_plugin_"):
            del sys.modules[name]


def of_language(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", all_blocks(*languages), ids=str)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_has_a_language_that_is_checked_or_is_what_is_printed(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"bash", "yaml", "python", "json", "text", ""}
    assert prose(page).count("```") == 0


@of_language("bash")
def test_commands_would_begin(block: Block, folder: Path) -> None:
    write_files(block.page, folder)
    check_commands(block.text, folder)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_would_begin(page: Path, folder: Path) -> None:
    write_files(page, folder)
    for command in INLINE.findall(prose(page)):
        if "..." not in command:
            check_commands(command, folder)


@of_language("yaml")
def test_files_and_their_parts_are_valid(block: Block, folder: Path) -> None:
    write_files(block.page, folder)
    path = folder / "shown.yaml"
    path.write_text(block.text)
    raw = read_yaml(path)
    if set(raw) == set(SECTIONS):
        load_study(path, {})
        return
    if set(raw) <= set(SECTIONS):
        check_sections(raw, folder)
        return
    section = "base" if set(raw) <= set(EXPERIMENT) else "study"
    unknown = sorted(set(raw) - set(EXPERIMENT if section == "base" else STUDY))
    assert not unknown, f"{unknown}: neither sections of a study file, nor fields of an experiment or of study"
    check_sections({section: raw}, folder)


def check_sections(raw: dict[str, Any], folder: Path) -> None:
    """Check some sections of a study file, each on its own: the quickstart's fields with those of the section."""
    PluginRunner().run(raw.get("base", {}).get("plugins", ()), "shown", folder)
    whole = read_yaml(QUICKSTART)
    for section, cls in (("study", Study), ("base", Experiment)):
        given = raw.get(section, {})
        if section == "study" and "proxy" in given:
            given = {**given, "proxy": {}}
            validated(Experiment, with_values(whole["base"], dotted(raw["study"]["proxy"]), "shown"), "shown", "proxy")
        lists = {name: value for name, value in given.items() if not isinstance(value, dict)}
        values = {**dotted({n: v for n, v in given.items() if isinstance(v, dict) and v}), **lists}
        validated(cls, with_values(whole[section], values, "shown"), "shown", section)
    space, known = dict(raw.get("space", {})), whole["space"]
    while parents := {other for fields in space.values() for other in fields.get("when", {})} - space.keys():
        space |= {other: known[other] for other in parents}
    Space(parameters=validated(dict[str, Distribution], space, "shown", "space"))


def test_json_is_json() -> None:
    for block in all_blocks("json"):
        json.loads(block.text)


def pieces(text: str) -> list[str]:
    """A block as one module, or if its lines belong in several places, each group under its comment on its own."""
    try:
        ast.parse(text)
        return [text]
    except SyntaxError:
        return [piece for piece in re.split(r"\n\n(?=#)", text) if piece.strip()]


def parsed(piece: str) -> ast.AST:
    """Lines of a module, or those of a dictionary that is written over several lines."""
    try:
        return ast.parse(textwrap.dedent(piece))
    except SyntaxError:
        return ast.parse("{\n" + piece + "\n}")


@of_language("python")
def test_code_compiles_and_what_it_imports_is_there(block: Block, folder: Path) -> None:
    shown = {other.name.removesuffix(".py") for other in blocks(block.page) if other.name}
    for node in (node for piece in pieces(block.text) for node in ast.walk(parsed(piece))):
        if isinstance(node, ast.Import):
            modules = {alias.name: list[str]() for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = {node.module: [alias.name for alias in node.names]}
        else:
            continue
        for module, names in modules.items():
            if module in shown or module.partition(".")[0] in THEIRS:
                continue
            assert find_spec(module), f"there is no {module}"
            if module.startswith("curriculum_search"):
                missing = [name for name in names if not hasattr(importlib.import_module(module), name)]
                assert not [name for name in missing if find_spec(f"{module}.{name}") is None]


@pytest.mark.parametrize("block", [block for block in all_blocks("python") if block.run], ids=str)
def test_code_that_is_to_be_run_runs(block: Block, tmp_path: Path) -> None:
    write_files(block.page, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, '')\n{block.text}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr


def test_a_shell_s_loops_comments_and_variables_are_read_as_it_does() -> None:
    text = "A=1 make x &  # why\nfor p in a b; do python s.py \\\n  k=$p --n 8 > log; done && ray stop | cat\n"
    assert list(commands(text)) == [
        ["A=1", "make", "x"],
        ["python", "s.py", "k=a", "--n", "8"],
        ["python", "s.py", "k=b", "--n", "8"],
        ["ray", "stop"],
        ["cat"],
    ]


@pytest.mark.parametrize(
    "command",
    [
        "make serach",
        "python jobs/serach.py search_spaces/quickstart.yaml",
        "python jobs/search.py search_spaces/quickstart.yaml --plam",
        "python jobs/search.py search_spaces/quickstrat.yaml",
        "python jobs/search.py search_spaces/quickstart.yaml study.trails=3",
        "python jobs/train.py best.yaml training.batch_szie=3",
        "ray job sumbit -- python jobs/search.py my.yaml",
        "ray job submit -- python jobs/search.py my.yaml study.trails=3",
        "mlflow ui --backend-sotre-uri x",
        "optuna trails",
        "wget x",
    ],
)
def test_a_command_that_would_not_begin_is_found(command: str, folder: Path) -> None:
    import click

    with pytest.raises((AssertionError, SystemExit, UserError, click.ClickException)):
        check_commands(command, folder)
