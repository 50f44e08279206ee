"""Where results and the cache go."""

from pathlib import Path

import pytest

from curriculum_search.cli import cache_root, results_root


def test_results_go_where_they_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CURRICULUM_SEARCH_RESULTS", raising=False)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert results_root(None) == tmp_path / "results"
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")  # a submitted job's folder is new every time
    assert results_root(None) == tmp_path / "home" / "curriculum-search-results"
    monkeypatch.setenv("CURRICULUM_SEARCH_RESULTS", "~/shared")
    assert results_root(None) == tmp_path / "home" / "shared"
    assert results_root("mine") == tmp_path / "mine"


def test_the_cache_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CURRICULUM_SEARCH_CACHE", raising=False)
    assert cache_root() == tmp_path / ".cache" / "curriculum-search"
    monkeypatch.setenv("CURRICULUM_SEARCH_CACHE", str(tmp_path / "elsewhere"))
    assert cache_root() == tmp_path / "elsewhere"
