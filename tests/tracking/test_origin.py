"""Where a run comes from."""

import subprocess
import sys
from pathlib import Path

import pytest

from curriculum_search.tracking.origin import origin


def test_it_is_the_user_the_script_as_it_was_called_and_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs").mkdir()
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "jobs" / "search.py")])
    monkeypatch.setenv("LOGNAME", "ada")
    origin.cache_clear()
    try:
        assert origin() == {
            "mlflow.source.type": "LOCAL",
            "mlflow.source.name": "jobs/search.py",
            "mlflow.user": "ada",
            "mlflow.source.git.commit": commit,
        }
    finally:
        origin.cache_clear()


def test_where_there_is_no_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "search.py")])
    origin.cache_clear()
    try:
        assert "mlflow.source.git.commit" not in origin()
    finally:
        origin.cache_clear()
