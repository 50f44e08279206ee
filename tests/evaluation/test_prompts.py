"""Prompts in a list or a file, and what is wrong with them."""

from pathlib import Path

import pytest

from curriculum_search.evaluation.prompts import read_prompts


def test_prompts_are_in_a_list_or_in_the_lines_of_a_file(tmp_path: Path) -> None:
    assert read_prompts(None) == ()
    assert read_prompts((" a cat", "b")) == ("a cat", "b")
    (tmp_path / "prompts.txt").write_text("a cat\nb\n")
    assert read_prompts(str(tmp_path / "prompts.txt")) == ("a cat", "b")


def test_an_empty_line_is_named_and_so_is_what_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    with pytest.raises(FileNotFoundError, match=f"prompts: {path} does not exist"):
        read_prompts(str(path))
    path.write_text("a cat\n\nb\n")
    with pytest.raises(ValueError, match=f"prompts: {path}: line 2 is empty"):
        read_prompts(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no text file"):
        read_prompts(str(path))
    for nothing in ((), ("",)):
        with pytest.raises(ValueError, match=r"no prompt in it|line 1 is empty"):
            read_prompts(nothing)
