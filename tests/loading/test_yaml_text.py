"""YAML is read by the core schema of version 1.2, is bounded in size, and is written so that every reader agrees."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from curriculum_search.loading import UserError, parse_value, read_yaml, to_yaml
from curriculum_search.loading.yaml_text import MOST_BYTES, MOST_VALUES

REPOSITORY = Path(__file__).parents[2]

SCALARS = {
    "064000": 64000,
    "-007": -7,
    "089": 89,
    "+1": 1,
    "0o17": 15,
    "0x1F": 31,
    "64e3": 64000.0,
    "1E3": 1000.0,
    "+12e03": 12000.0,
    ".5": 0.5,
    "-.5": -0.5,
    "+.5e-3": 0.0005,
    "1.": 1.0,
    "1.e3": 1000.0,
    "-.INF": float("-inf"),
    "+.inf": float("inf"),
    "true": True,
    "TRUE": True,
    "False": False,
    "~": None,
    "Null": None,
    "NULL": None,
    "": None,
    "!!int 064000": 64000,
    "!!float 1": 1.0,
    "!!str 064000": "064000",
    "'1e3'": "1e3",
}
#: What YAML 1.1 takes for numbers, dates or true and false, and what looks like it.
TEXTS = (
    *("1:30", "-1:30:00", "190:20:30.15", "1_000", "0x1_F", "1e3_0", "1__0", "0b101", "-0x1F", "+0o7", "0o8", "0xg"),
    *("yes", "Yes", "no", "NO", "on", "On", "off", "OFF", "y", "n", "tRUE", "nULL", "None", "none"),
    *("2026-01-01", "2001-12-14t21:59:43.10-05:00", "=", "1e", "e3", "1,000", "1.2.3", ".", "-", "..", "٣"),
    *("nan", "inf", "infinity", ".Inf0", "${BATCH}"),
)


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_a_scalar_is_what_the_core_schema_says(text: str, value: object) -> None:
    read = parse_value(text)
    assert (read, type(read)) == (value, type(value))
    assert parse_value(f"{{a: {text}, b: x}}")["a"] == value


@pytest.mark.parametrize("text", [t for t in TEXTS if t != "-"])
def test_what_the_core_schema_does_not_name_is_text(text: str) -> None:
    assert parse_value(text) == text


PLACEHOLDER = "is there a placeholder of a template, which was to be filled in?"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: {{ b }}", f"line 1, column 5: the name of a field must be text, not a mapping; {PLACEHOLDER}"),
        ("x: 1\na:\n  - {{b}}/c\n", f"line 3, column 10: expected <block end>, but found '<scalar>'; {PLACEHOLDER}"),
        ("a: 1\n{% if b %}\n", f"line 2, column 2: found character '%' that cannot start any token; {PLACEHOLDER}"),
        ("{{ a }}: 1", f"line 1, column 1: the name of a field must be text, not a mapping; {PLACEHOLDER}"),
        ("? [a]\n: 1", "line 1, column 3: the name of a field must be text, not a sequence"),
        ("a: {1: 2}", "line 1, column 5: the name of a field must be text, not 1"),
        ("null: 2", "line 1, column 1: the name of a field must be text, not null"),
        ("a: !!bool yes", 'line 1, column 4: "yes" is not true or false'),
        ("a: !!int 1:30", 'line 1, column 4: "1:30" is not a whole number'),
        (f"a: {'1' * 5000}", f'line 1, column 4: "{"1" * 76}... is not a whole number'),
        ("a: !!map b", "line 1, column 4: expected a mapping node, but found scalar"),
        (
            "a: !!timestamp b",
            "line 1, column 4: could not determine a constructor for the tag 'tag:yaml.org,2002:timestamp'",
        ),
        ('a: "\\ud800"', "line 1, column 4: half a character"),
        ("a: 1\nb: \x00", "line 2: a character that YAML does not take (number 0x0)"),
        ("a: 1\n--- {b: 2}", "line 2, column 1: expected a single document in the stream, but found another document"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_place(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=f"^{re.escape(f'{path}: {message}')}$"):
        read_yaml(path)


@pytest.mark.parametrize("job", ["search", "train", "difficulty", "export"])
def test_every_command_ends_with_one_message(tmp_path: Path, job: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("base: {seed: {{ seed }}}\n")
    output = [tmp_path / "curriculum.json"] if job == "export" else []
    command: list[str | Path] = [sys.executable, REPOSITORY / "jobs" / f"{job}.py", path, *output]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {path}: line 1, column 15: the name of a field must be text")
    assert done.stderr.count("\n") == 1


def laughs(key: str) -> str:
    lines = [f"{key}0: &a0 {{x: [y, y, y]}}"]
    lines += [f"{key}{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    return "\n".join(lines)


BOMBS = {
    "lists of lists": laughs("a"),
    "a long text": f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 280)}]",
    "merges": "m0: &m0 {a: 1}\n"
    + "\n".join(f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}], k{i}: 1}}" for i in range(1, 12)),
    "a long list": f"a: [{', '.join(['1'] * (MOST_VALUES + 1))}]",
    "a long text alone": f"a: {'x' * (MOST_BYTES - 10)}",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=list(BOMBS))
def test_a_file_that_is_huge_with_its_aliases_written_out_is_refused_before_they_are(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(content)
    monkeypatch.setattr(json, "dumps", lambda *_: pytest.fail("the values were written out"))
    with pytest.raises(UserError, match=r"x\.yaml: line \d+, column \d+: more than 20,000 values, with aliases wri"):
        read_yaml(path)


def test_a_large_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: [" + b"1, " * 10_000_000 + b"1]")
    monkeypatch.setattr(yaml, "load", lambda *_: pytest.fail("the file was parsed"))
    with pytest.raises(UserError, match=r"x\.yaml: is larger than 1,048,576 bytes; no study or experiment file is$"):
        read_yaml(path)


@pytest.mark.parametrize("content", ["[" * 100_000, "{a: " * 100_000, "!!seq [" * 60 + "]" * 60])
def test_deep_nesting_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"a: {content}")
    with pytest.raises(UserError, match=r"x\.yaml: line 1, column \d+: more than 50 values within each other"):
        read_yaml(path)


def test_aliases_of_an_ordinary_file_are_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("\n".join(["a: &a [1, 2, 3]", *(f"b{i}: *a" for i in range(1000))]))
    assert read_yaml(path)["b999"] == [1, 2, 3]
    path.write_text(f"a: [{', '.join(['1'] * (MOST_VALUES - 10))}]")
    assert len(read_yaml(path)["a"]) == MOST_VALUES - 10


def test_a_file_of_another_system_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes("\ufeffname: Grüße\r\nlist:\r\n- 1\r\n- b\r\n".encode())
    assert read_yaml(path) == {"name": "Grüße", "list": [1, "b"]}


@pytest.mark.parametrize("text", [*SCALARS, *TEXTS, "<<", "a: b", "# c", "é", "\u202e", "*a", "{{ a }}", "a\nb", " a "])
def test_text_is_written_so_that_both_versions_of_yaml_read_it_as_text(text: str) -> None:
    value: Any = {"name": text, "list": [text, text]}
    written = to_yaml(value)
    assert parse_value(written) == value
    assert yaml.safe_load(written) == value


@pytest.mark.parametrize("number", [0, -3, 10**20, 1e-5, 1.5, 1e22, -2.5e-9, 1e300, True, False, None])
def test_a_number_is_written_so_that_both_versions_of_yaml_read_it_as_that(number: object) -> None:
    written = to_yaml({"a": number})
    for read in (parse_value(written)["a"], yaml.safe_load(written)["a"]):
        assert (read, type(read)) == (number, type(number))


def test_anchors_and_merge_keys_work() -> None:
    assert parse_value("{a: &x {b: 1, c: 2}, d: {<<: *x, c: 3}}") == {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}


def test_numbers_are_read_as_people_write_them() -> None:
    values = parse_value("[1e-4, 5E3, 1.5e-3, -2e+2, 0.1, 7, .5]")
    assert values == [1e-4, 5000.0, 1.5e-3, -200.0, 0.1, 7, 0.5]
    assert [type(value) for value in values] == [float] * 5 + [int, float]
    assert parse_value("null") is None
    assert parse_value("2026-01-01") == "2026-01-01"
    assert parse_value("1e") == "1e"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"study: [1, 2\nbase: 3", r"study\.yaml: line 2, column 5: expected ',' or ']', but got ':'"),
        (b"a: 1\nb: 2\na: 3\n", r"study\.yaml: line 3, column 1: 'a' is written twice"),
        (b"a:\n  b: {c: 1, c: 2}\n", r"study\.yaml: line 2, column 13: 'c' is written twice"),
        (b"- 1\n- 2\n", r"study\.yaml: must hold a mapping of fields to values, not \[1, 2\]"),
        (b"", r"study\.yaml: must hold a mapping of fields to values, not null"),
        (b"\xff\xfe\x00", r"study\.yaml: is not a text file"),
        (b"a: !!python/name:os.system\n", r"study\.yaml: line 1, column 4: could not determine a constructor"),
        (b"a: !!set {b, c}\n", r"study\.yaml: holds what is no number, text, list or mapping"),
        (b"a: &x [*x]\n", r"study\.yaml: holds what is no number, text, list or mapping"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_the_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_yaml(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read \(No such file or directory\)"):
        read_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_yaml(tmp_path)
