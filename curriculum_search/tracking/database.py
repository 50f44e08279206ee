"""Where MLflow keeps its store, and what has to be done beside it for a database that this process opens itself."""

import contextlib
import os
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlsplit

_ARTIFACTS = "mlartifacts"
_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")


def tracking_uri(folder: Path) -> str:
    """Where runs are tracked: MLFLOW_TRACKING_URI, or else a SQLite file ``mlflow.db`` in `folder`."""
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        return given
    path = str((folder / "mlflow.db").absolute())
    quoted = path.replace("%", "%25").replace("?", "%3F")
    # SQLAlchemy reads %25 as %; MLflow, for what begins with sqlite:///, would make a folder named %25.
    return f"sqlite:///{path}" if quoted == path else f"sqlite+pysqlite:///{quoted}"


def shown(uri: str) -> str:
    """`uri` without a password."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")).geturl()


def file(uri: str) -> Path | None:
    """The file of a SQLite database; None for any other."""
    scheme, _, rest = uri.partition(":///")
    if scheme.partition("+")[0] != "sqlite" or not rest:
        return None
    return Path(unquote(rest.partition("?")[0])).absolute()


def artifacts(uri: str) -> Path:
    """Where the artifacts of a database's runs go: beside its file."""
    path = file(uri)
    return (Path() if path is None else path.parent).absolute() / _ARTIFACTS


def complete(uri: str) -> None:
    """Give a database that has been emptied or removed its tables again."""
    if urlsplit(uri).scheme.partition("+")[0] in _SCHEMES:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore(uri, artifacts(uri).as_uri())  # type: ignore[no-untyped-call]


def follow_move(uri: str, experiment_id: str, location: str) -> None:
    """Where a SQLite file has moved with the artifacts beside it, have the experiment and its runs find them there.

    MLflow keeps absolute locations and has no call that changes them.

    Args:
        uri: of the database.
        experiment_id: of an experiment.
        location: of its artifacts.
    """
    path, here = file(uri), artifacts(uri)
    if path is None or not location.startswith("file://"):
        return
    before = Path(unquote(urlsplit(location).path))
    # One that its user has put elsewhere stays there, and the same folder may have two names.
    if before == here or before.name != _ARTIFACTS or (before.exists() and here.exists() and before.samefile(here)):
        return
    moved = here.as_uri()
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (moved, int(experiment_id))
        )
        connection.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE experiment_id = ? "
            "AND substr(artifact_uri, 1, ?) = ?",
            (moved, len(location) + 1, int(experiment_id), len(location) + 1, f"{location}/"),
        )
