"""What all plots share: colours by name, axes, words and numbers."""

import re

import pytest
from support.study_data import checked

from curriculum_search.report.page.plot import looks, number, percent, spec, text, value_axis, wrapped
from curriculum_search.report.style import colours


def test_an_arm_has_the_colour_that_it_has_in_the_other_figures() -> None:
    names = ["no curriculum", "trial 3: hard to easy", "published: easy to hard"]
    given, other = looks(names, "no curriculum"), colours(names, "no curriculum")
    assert given["no curriculum"].colour == "$baseline"
    assert other["trial 3: hard to easy"] == "#0072B2"
    assert given["trial 3: hard to easy"].colour == "$c0"
    assert given["trial 3: hard to easy"].faded(0.25) == "$c0/0.25"


def test_more_arms_than_colours_differ_in_their_dashes() -> None:
    names = [f"arm {i}" for i in range(20)]
    assert len({(look.colour, look.dash) for look in looks(names, None).values()}) == 20


def test_every_colour_is_a_name_of_the_style_sheet() -> None:
    view = spec([{"type": "scatter", "x": [1], "y": [1]}])
    assert re.findall(r"\$\w+", str(view["layout"]))
    checked(view)


def test_an_axis_is_logarithmic_where_its_values_are_far_apart_and_positive() -> None:
    assert value_axis("fd", [1.0, 9.0])["type"] == "log"
    assert "logarithmic" in value_axis("fd", [1.0, 9.0])["title"]["text"]
    assert "type" not in value_axis("fd", [1.0, 7.0])
    assert "type" not in value_axis("fd", [0.0, 100.0])
    assert "type" not in value_axis("fd", [])


@pytest.mark.parametrize(
    ("value", "words"),
    [(3.14159, "3.14"), (-0.0, "0"), (-2.5, "−2.5"), (None, "–"), (float("nan"), "–"), (float("-inf"), "−∞")],
)
def test_numbers_have_three_digits_and_a_true_minus(value: float | None, words: str) -> None:
    assert number(value) == words


def test_a_signed_number_shows_its_plus() -> None:
    assert number(0.25, signed=True) == "+0.25"


def test_shares_are_said_in_words() -> None:
    assert (percent(0.95), percent(-0.124, signed=True)) == ("95 %", "−12 %")


def test_names_are_wrapped_between_words_and_never_taken_for_marks() -> None:
    assert wrapped("published: easy to hard, 20 clusters", 20) == "published: easy to<br>hard, 20 clusters"
    assert wrapped("<b>x</b>") == "&lt;b&gt;x&lt;/b&gt;"
    assert text("a < b") == "a &lt; b"
