"""Shell commands as the documentation shows them: split as a shell does, and each asked whether it would begin."""

import importlib
import json
import re
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from command_reference import parser_of

from curriculum_search.loading import load_experiment_or_base, parse_overrides, read_yaml, to_yaml
from curriculum_search.search.load import load_study
from support.pages import ROOT

QUICKSTART = ROOT / "search_spaces" / "quickstart.yaml"
OURS = ("jobs", "benchmarks", "docs", "search_spaces", "tests")
#: Programs that are nobody's to check.
PLAIN = {
    "source",
    "export",
    "cd",
    "cp",
    "mkdir",
    "git",
    "ls",
    "cat",
    "tail",
    "rsync",
    "scp",
    "optuna-dashboard",
    "kill",
    "pip",
}


def check_commands(text: str, folder: Path) -> None:
    """Check what a block of shell commands shows.

    Args:
        text: the commands.
        folder: where the reader is: with the repository's files, and those of the page.

    Raises:
        AssertionError, SystemExit, ValueError: a command would not begin.
    """
    for words in commands(text):
        check_command(words, folder)


def commands(text: str) -> Iterator[list[str]]:
    """The single commands of a text, a loop's for each of its values."""
    variable, values = "", [""]
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
        lexer.whitespace_split = True
        for words in _split(list(lexer)):
            if words[0] == "for":
                variable, values = words[1], words[3:]
            elif words[0] == "done":
                variable, values = "", [""]
            else:
                for value in values:
                    yield [re.sub(rf"\$\{{?{variable}\b\}}?", value, w) if variable else w for w in _without_do(words)]


def _without_do(words: list[str]) -> list[str]:
    return words[1:] if words[0] == "do" else words


def _split(tokens: list[str]) -> Iterator[list[str]]:
    words = list[str]()
    skip = False
    for token in [*tokens, ";"]:
        if re.fullmatch("[;&|]+", token):
            if words:
                yield words
            words = []
        elif re.fullmatch("[<>]+", token):
            skip = True  # the file that follows
        elif skip:
            skip = False
        else:
            words.append(token)


def check_command(words: list[str], folder: Path) -> None:
    """Check one command; see `check_commands`."""
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    program, arguments = words[0].removeprefix(".venv/bin/"), words[1:]
    if program in ("python", "python3"):
        _check_python(arguments, folder)
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(arguments) <= set(targets), f"make {' '.join(arguments)}: there are {', '.join(targets)}"
    elif program in ("ray", "mlflow"):
        _check_click(program, arguments, folder)
    elif program == "optuna":
        from optuna.cli import _get_parser

        _get_parser()[0].parse_args(arguments)
    else:
        assert program in PLAIN, f"{program}: tests/support/commands.py does not know how to check it"


def _check_python(arguments: list[str], folder: Path) -> None:
    if arguments[0] == "-m":
        assert find_spec(arguments[1]), f"there is no module {arguments[1]}"
    elif arguments[0] == "-c":
        compile(arguments[1], "-c", "exec")
    else:
        script = folder / arguments[0]
        examples = ROOT / arguments[0]
        if not script.is_file() and examples.is_relative_to(ROOT / "examples") and examples.is_file():
            _parse(_parser(examples), arguments[1:])
            return
        assert script.is_file(), f"{arguments[0]} is neither in the repository nor on the page"
        if Path(arguments[0]).parts[0] in OURS:
            given = _parse(_parser(script.resolve()), arguments[1:])
            if Path(arguments[0]).parts[0] == "jobs":
                _check_files(script.stem, given, folder)


@cache
def _parser(script: Path) -> ArgumentParser:
    return parser_of(script)


def _parse(parser: ArgumentParser, arguments: list[str]) -> Namespace:
    try:
        return parser.parse_intermixed_args(arguments)
    except TypeError:  # it has subcommands
        return parser.parse_args(arguments)


def _check_files(job: str, given: Namespace, folder: Path) -> None:
    """Load the file that a command names, with its overrides."""
    values: dict[str, Any] = vars(given)
    paths = [value for name, value in values.items() if name != "output" and isinstance(value, Path)]
    overrides = parse_overrides(values.get("overrides") or ())
    for path in paths:
        if path.suffix in (".yaml", ".yml") and "overrides" in values:
            load = load_study if job == "search" else load_experiment_or_base
            load(_stand_in(path, folder, study=job == "search"), overrides)


def _stand_in(path: Path, folder: Path, *, study: bool) -> Path:
    """The file, or if the reader has to have it, the quickstart's in its place."""
    if (folder / path).is_file():
        return folder / path
    assert path.parts[0] not in OURS, f"there is no {path}"
    other = folder / f"stand-in-{path.name}"
    raw = read_yaml(QUICKSTART)
    other.write_text(to_yaml(raw if study else raw["base"]))
    return other


def _check_click(program: str, arguments: list[str], folder: Path) -> None:
    import click

    module = importlib.import_module({"ray": "ray.scripts.scripts", "mlflow": "mlflow.cli"}[program])
    command, name = module.cli, program
    while isinstance(command, click.Group):
        name, *arguments = arguments
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"{program} has no command {name}"
        command = found
    if "--" in arguments:
        check_command(arguments[arguments.index("--") + 1 :], folder)
    context = command.make_context(name, list(arguments))
    if environment := context.params.get("runtime_env_json"):
        json.loads(environment)
