"""Times in words."""

import pytest

from curriculum_search.duration import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (4.21, "4.2 s"),
        (85.4, "85 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (11_000, "3.1 h"),
        (9e6, "2,500.0 h"),
    ],
)
def test_a_time_is_said_in_a_unit_of_its_size(seconds: float, words: str) -> None:
    assert duration(seconds) == words
