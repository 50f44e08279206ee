"""Values on a command line are read as those in a file."""

import re

import pytest

from curriculum_search.loading import UserError, dotted, parse_overrides, with_values


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


def test_values_are_copied_so_that_deeper_ones_do_not_change_them() -> None:
    values = {"pacing": {"kind": "linear"}, "pacing.end_share": 0.3}
    assert with_values({}, values, "x") == {"pacing": {"kind": "linear", "end_share": 0.3}}
    assert values == {"pacing": {"kind": "linear"}, "pacing.end_share": 0.3}


def test_values_are_set_by_dotted_path_in_a_copy() -> None:
    raw = {"a": {"b": 1, "c": {"d": 2}}}
    assert with_values(raw, {"a.c.d": 3, "e.f": 4}, "x") == {"a": {"b": 1, "c": {"d": 3}}, "e": {"f": 4}}
    assert raw == {"a": {"b": 1, "c": {"d": 2}}}
    with pytest.raises(UserError, match=r"command line: a\.b\.c: a\.b is 1 and has no fields"):
        with_values(raw, {"a.b.c": 1}, "command line")


@pytest.mark.parametrize("argument", ["training.seed", "=3", ""])
def test_an_override_is_path_and_value(argument: str) -> None:
    with pytest.raises(UserError, match=r"command line: .* is not of the form path=value, as in training\.seed=1"):
        parse_overrides([argument])


def test_an_override_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(UserError, match=r"command line: '\[1' is not a value that YAML can read"):
        parse_overrides(["a=[1"])


def test_nested_sections_are_dotted_paths_and_lists_are_values() -> None:
    raw = {"model.depth": 1, "model": {"depth": 2, "attention": [1, 2]}, "training": {"total_images": 9}}
    assert dotted(raw) == {"model.depth": 2, "model.attention": [1, 2], "training.total_images": 9}


def test_another_kind_drops_the_fields_of_the_old_one_and_the_same_kind_keeps_them() -> None:
    raw = {"pacing": {"kind": "plateau", "patience_share": 0.1}}
    assert with_values(raw, {"pacing.end_share": 0.3, "pacing.kind": "linear"}, "x") == {
        "pacing": {"kind": "linear", "end_share": 0.3}
    }
    assert with_values(raw, {"pacing.kind": "plateau"}, "x") == raw
    assert with_values(raw, {"pacing": {"kind": "step"}}, "x") == {"pacing": {"kind": "step"}}


def test_a_range_takes_the_place_of_a_number_and_a_number_that_of_a_range() -> None:
    raw = {"resources": {"workers": 1}}
    ranged = with_values(raw, dotted({"resources": {"workers": {"min": 2, "max": 8}}}), "proxy")
    assert ranged == {"resources": {"workers": {"min": 2, "max": 8}}}
    assert with_values(ranged, {"resources.workers.max": 4}, "proxy")["resources"]["workers"] == {"min": 2, "max": 4}
    assert with_values(ranged, {"resources.workers": 1}, "proxy") == raw
    with pytest.raises(UserError, match=r"proxy: resources\.workers\.max: resources\.workers is 1 and has no fields"):
        with_values(raw, {"resources.workers.max": 4}, "proxy")
