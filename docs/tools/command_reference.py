"""The reference of the commands in jobs/, from their parsers."""

import argparse
import importlib.util
import sys
from pathlib import Path
from unittest import mock

JOBS = Path(__file__).parents[2] / "jobs"


class _ParserBuilt(BaseException):
    """A command has built its parser."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(script: Path) -> argparse.ArgumentParser:
    """The parser that a script's main function builds before it does anything."""

    def stop(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise _ParserBuilt(parser)

    spec = importlib.util.spec_from_file_location(f"command_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of a script look themselves up there
    with (
        mock.patch.object(sys, "path", [str(script.parent), *sys.path]),
        mock.patch.object(argparse.ArgumentParser, "parse_args", stop),
        mock.patch.object(argparse.ArgumentParser, "parse_intermixed_args", stop),
    ):
        spec.loader.exec_module(module)
        try:
            module.main()
        except _ParserBuilt as built:
            return built.parser
    raise ValueError(f"{script}: its main function reads no command line")


def page() -> str:
    """The page of all commands."""
    lines = [
        *("# Commands", ""),
        "Each command takes a file in YAML and overrides of its fields as `path=value`. "
        "Run it with the Python of the environment, as in `.venv/bin/python jobs/search.py ...`; "
        "`make search` and `make test` make that environment.",
        "",
    ]
    for script in sorted(JOBS.glob("*.py")):
        parser = parser_of(script)
        lines += [f"## {script.stem}", "", *_description(parser), "| argument | meaning |", "|---|---|"]
        for action in parser._actions:
            if not isinstance(action, argparse._HelpAction):
                lines.append(f"| `{_argument(action)}` | {action.help} |")
        lines.append("")
    return "\n".join(lines)


def _description(parser: argparse.ArgumentParser) -> list[str]:
    """A command's docstring as paragraphs of Markdown."""
    lines = list[str]()
    for paragraph in (parser.description or "").strip().split("\n\n"):
        lines += [" ".join(paragraph.split()).replace("``", "`"), ""]
    return lines


def _argument(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest
    if action.option_strings:
        return action.option_strings[-1] + (f" {metavar.upper()}" if action.nargs != 0 else "")
    return f"[{metavar} ...]" if action.nargs == "*" else metavar
