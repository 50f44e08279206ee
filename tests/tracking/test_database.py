"""A database that this process opens itself: where its file is, and an address without its password."""

from pathlib import Path

import pytest

from curriculum_search.tracking.database import artifacts, file, shown, tracking_uri


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:////srv/studies/mlflow.db", "/srv/studies/mlflow.db"),
        ("sqlite+pysqlite:////srv/a%2525b%3Fc/mlflow.db?timeout=3", "/srv/a%25b?c/mlflow.db"),
        ("sqlite://", None),
        ("sqlite:///", None),
        ("postgresql:///db", None),
        ("http://host:5000", None),
    ],
)
def test_the_file_of_a_sqlite_database_is_known_and_of_no_other(uri: str, path: str | None) -> None:
    assert file(uri) == (Path(path) if path else None)


@pytest.mark.parametrize("name", ["results", "100%", "a%2Fb", "what?", "with space"])
def test_without_a_setting_it_is_a_file_in_the_folder_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = tracking_uri(tmp_path / name)
    assert file(uri) == tmp_path / name / "mlflow.db"
    assert artifacts(uri) == tmp_path / name / "mlartifacts"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert tracking_uri(tmp_path / name) == "http://host:5000"


def test_an_address_is_shown_without_its_password() -> None:
    assert shown("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert shown("sqlite:////tmp/mlflow.db") == "sqlite:////tmp/mlflow.db"
