import pytest

from curriculum_search.curriculum._checks import require


def test_what_holds_is_let_through() -> None:
    require(True, "end_share", "in (0, 1]", 0.5)


@pytest.mark.parametrize(
    ("given", "shown"), [(2.0, "2.0"), ("cosine", "'cosine'"), ([0.0, 0.5], r"\[0.0, 0.5\]"), (None, "None")]
)
def test_what_does_not_is_an_error_that_names_the_field_what_is_allowed_and_what_was_given(
    given: object, shown: str
) -> None:
    with pytest.raises(ValueError, match=rf"^end_share must be in \(0, 1\], not {shown}$"):
        require(False, "end_share", "in (0, 1]", given)
