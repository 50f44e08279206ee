"""Files that are whole whenever they are there."""

from pathlib import Path

import pytest

from curriculum_search.atomic import replacing


def test_a_file_takes_its_place_when_it_has_been_written(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.parent == tmp_path  # the same disk, so that the move is one
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_what_ends_the_writing_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as partial:
            partial.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    with replacing(path) as partial:  # and the next attempt is not disturbed by the half
        partial.write_text("new")
    assert path.read_text() == "new"
