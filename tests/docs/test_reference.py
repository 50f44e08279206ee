"""The generated reference is what the code says today."""

import dataclasses
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import command_reference
import field_reference
import pytest
from support.pages import ROOT

from curriculum_search.config import Config

SECTIONS = [section for section in field_reference.sections() if dataclasses.is_dataclass(section.cls)]


def test_the_pages_are_those_that_the_docstrings_give_today() -> None:
    """In a process of its own, for tests register kinds of theirs."""
    command = [sys.executable, "docs/tools/write_reference.py", "--check"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.cls.__name__)
def test_every_field_is_described_by_its_class(section: field_reference.Section) -> None:
    text, words = field_reference.described(section.cls)
    assert text
    fields = {field.name for field in dataclasses.fields(section.cls)} - {"kind"}  # type: ignore[arg-type]
    assert not fields - words.keys(), f"{section.cls.__qualname__} needs them under Attributes: in its docstring"


@dataclass(frozen=True, kw_only=True)
class Part(Config):
    """A part.

    Attributes:
        share: of something,
            in two lines; None: all.
        most, least: two that share their words.
    """

    share: float | None = None
    most: int = 8
    least: int = 1
    mode: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1] or null, not {self.share}")
        if not 1 <= self.least <= self.most:
            raise ValueError(f"least must be in [1, most = {self.most}], not {self.least}")


def test_a_field_s_row_has_its_type_range_default_and_words() -> None:
    assert field_reference.table(Part, {})[2:] == [
        "| `share` | number or `null`, in (0, 1] | `null` | of something, in two lines; `null`: all. |",
        "| `most` | whole number | `8` | two that share their words. |",
        "| `least` | whole number, in [1, most] | `1` | two that share their words. |",
        "| `mode` | `a` or `b` | `a` |  |",
    ]


def test_every_command_has_its_options_on_the_page() -> None:
    page = command_reference.page()
    for script in (ROOT / "jobs").glob("*.py"):
        assert f"## {script.stem}\n" in page
        for action in command_reference.parser_of(script)._actions:
            assert action.help
            assert all(
                option in page for option in action.option_strings[1:] or action.option_strings if "-h" not in option
            )


def test_every_variable_that_the_code_reads_is_on_the_page_of_the_environment() -> None:
    page = (ROOT / "docs/reference/environment.md").read_text()
    source = "\n".join(path.read_text() for path in (ROOT / "curriculum_search").rglob("*.py"))
    ours = set(re.findall(r"\bCURRICULUM_SEARCH_[A-Z_]+\b", source)) | {"RAY_ADDRESS", "MLFLOW_TRACKING_URI"}
    assert not {name for name in ours if f"`{name}`" not in page}


def test_every_benchmark_is_on_the_page_of_benchmarks() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text()
    scripts = [path for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()]
    assert not {path.name for path in scripts if f"python benchmarks/{path.name}" not in page}
