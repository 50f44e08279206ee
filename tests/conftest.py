"""Workplaces for commands, and Ray clusters that end with the tests.

Ray and MLflow are imported where a fixture needs them, for most tests do not.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.keys import ENVIRONMENT

if TYPE_CHECKING:
    from support.s3_server import S3Server
    from support.workplace import Workplace


#: What a shell starts in the background ignores Ctrl-C, and so would the commands that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Gives each process of the tests a folder for its Ray and a cache, and lets all into their S3 server.

    A command joins the cluster that it finds in that folder; a cluster of another process of the tests may end at any
    time.
    """
    folder = tempfile.mkdtemp(prefix="ray-")  # short: the sockets below it must have paths of at most 107 bytes
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ.update(ENVIRONMENT, RAY_TMPDIR=folder, CURRICULUM_SEARCH_CACHE=str(Path(folder, "cache")))


@pytest.fixture(scope="session")
def _templates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder for reference statistics, and an MLflow database without runs."""
    from mlflow import MlflowClient

    from curriculum_search.tracking import tracking_uri

    folder = tmp_path_factory.mktemp("templates")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        MlflowClient(tracking_uri(folder)).get_experiment_by_name("none")
    return folder / "cache", folder / "mlflow.db"


@pytest.fixture(scope="module")
def make_workplace(
    tmp_path_factory: pytest.TempPathFactory, _templates: tuple[Path, Path]
) -> Iterator[Callable[[], "Workplace"]]:
    from support.workplace import Workplace

    made: list[Workplace] = []

    def make() -> Workplace:
        cache, database = _templates
        made.append(Workplace(tmp_path_factory.mktemp("workplace"), cache, database))
        return made[-1]

    yield make
    for workplace in made:
        workplace.kill_all()


@pytest.fixture
def workplace(make_workplace: Callable[[], "Workplace"]) -> "Workplace":
    return make_workplace()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator["S3Server"]:
    """A real S3 server."""
    from support.s3_server import S3Server

    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def _end_of_ray() -> Iterator[None]:
    import ray

    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def connect_two_cpus(_end_of_ray: None) -> Callable[[], None]:
    """Connects this process to a Ray cluster of two processors, which is kept from test to test."""

    import ray

    def connect() -> None:
        if not ray.is_initialized():
            ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)

    return connect


@pytest.fixture
def two_cpus(connect_two_cpus: Callable[[], None]) -> None:
    connect_two_cpus()


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever connects to Ray, or starts it, fails."""
    import ray

    def init(*arguments: object, **options: object) -> None:
        raise AssertionError("Ray was asked for")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
