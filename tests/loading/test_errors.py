"""How a value is shown in the message of a mistake."""

import datetime

import pytest

from curriculum_search.loading.errors import UserError, shown


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


def test_a_mistake_is_a_value_error_for_whoever_uses_the_package_as_a_library() -> None:
    assert issubclass(UserError, ValueError)
