"""What a message says of a value."""

import pytest

from curriculum_search.loading.errors import UserError, shown


@pytest.mark.parametrize("value", [None, "a\nb", "a" * 81, ["x" * 50, {"y": "z" * 50}], "\x1b[2K\u202e", {1, 2}])
def test_a_value_is_shown_on_one_printable_line_of_at_most_80_characters(value: object) -> None:
    assert shown(value).isprintable()
    assert 0 < len(shown(value)) <= 80


def test_a_users_mistake_is_a_value_error() -> None:
    assert issubclass(UserError, ValueError)
