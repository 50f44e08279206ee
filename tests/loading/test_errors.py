"""What a message says of a value."""

import datetime

import pytest

from curriculum_search.loading.errors import UserError, shown


@pytest.mark.parametrize("value", [None, "a\nb", "a" * 81, ["x" * 50, {"y": "z" * 50}], "\x1b[2K\u202e", {1, 2}])
def test_a_value_is_shown_on_one_printable_line_of_at_most_80_characters(value: object) -> None:
    assert shown(value).isprintable()
    assert 0 < len(shown(value)) <= 80


def test_a_users_mistake_is_a_value_error() -> None:
    assert issubclass(UserError, ValueError)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a\nb", '"a\\nb"'),
        (None, "null"),
        ([1, {"a": True}], '[1, {"a": true}]'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        ("x" * 78, f'"{"x" * 78}"'),
        ("x" * 79, f'"{"x" * 76}...'),
    ],
)
def test_a_value_is_shown_on_one_line_and_not_too_long(value: object, words: str) -> None:
    assert shown(value) == words
    assert len(words) <= 80
