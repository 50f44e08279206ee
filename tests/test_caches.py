"""Where what can be computed again is kept."""

from pathlib import Path

import pytest

from curriculum_search.caches import kept_in
from curriculum_search.data import Zip


def test_it_is_in_the_cache_unless_a_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CURRICULUM_SEARCH_CACHE", str(tmp_path))
    assert kept_in(None, "x") == tmp_path / "x"
    assert Zip(path="a.zip").kept == tmp_path / "decoded"
    assert kept_in(Path("~/y"), "x") == Path.home() / "y"
    assert Zip(path="a.zip", decoded_path="~/y").kept == Path.home() / "y"
    monkeypatch.delenv("CURRICULUM_SEARCH_CACHE")
    assert kept_in(None, "decoded") == Path.home() / ".cache" / "curriculum-search" / "decoded"
