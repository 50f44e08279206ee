"""Values on a command line are read as those in a file."""

import re

import pytest

from curriculum_search.loading import UserError, parse_overrides, with_values


def test_values_are_read_by_the_same_rules_as_in_a_file() -> None:
    arguments = ["a=064000", "b.c=1:30", "b.d=yes", "e=", "f=[.5, +1]", "g={x: 0x1F}", "h=a=b"]
    values = {"a": 64000, "b.c": "1:30", "b.d": "yes", "e": None, "f": [0.5, 1], "g": {"x": 31}, "h": "a=b"}
    assert parse_overrides(arguments) == values


def test_what_an_alias_stands_for_is_a_copy() -> None:
    (values,) = [parse_overrides(["a={x: &x {y: 1}, z: *x}"])]
    assert with_values({}, values | {"a.x.y": 2}, "command line") == {"a": {"x": {"y": 2}, "z": {"y": 1}}}


def test_a_placeholder_on_the_command_line_is_one_message() -> None:
    hint = "is there a placeholder of a template, which was to be filled in?"
    message = "command line: '{{ seed }}' is not a value that YAML can read: line 1, column 2: the name of a field must"
    with pytest.raises(UserError, match=f"^{message} be text, not a mapping; {re.escape(hint)}$"):
        parse_overrides(["base.seed={{ seed }}"])
