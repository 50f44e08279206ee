"""How figures look: what can be told apart, and what is the same in all of them."""

from curriculum_search.report.style import BASELINE_COLOUR, colours, line_styles

NONE = "no curriculum"


def test_an_order_has_the_same_colour_in_whatever_company_it_is() -> None:
    all_of_them = colours([NONE, "easy to hard", "hard to easy", "random"], NONE)
    for names in (["random", "easy to hard"], ["hard to easy", NONE, "random"], ["easy to hard"], ["mine", "random"]):
        found = colours(names, NONE)
        assert {name: found[name] for name in names if name != "mine"} == {
            name: all_of_them[name] for name in names if name != "mine"
        }
    assert all_of_them[NONE] == BASELINE_COLOUR
    assert len(set(all_of_them.values())) == 4


def test_orders_of_ones_own_have_the_colours_that_are_left() -> None:
    names = ["mine", "random", *(f"other {i}" for i in range(9))]
    colour, style = colours(names, None), line_styles(names, None)
    assert colour["random"] not in {colour[name] for name in names if name != "random"}
    assert len({(colour[name], style[name]) for name in names}) == len(names)
