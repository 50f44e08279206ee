"""Where Ray is looked for, signals that arrive while it starts, and that a cluster is left as it was found."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from curriculum_search.experiment import Resources
from curriculum_search.loading import UserError
from curriculum_search.runs.cluster import Cluster

ROOT = Path(__file__).parents[2]

#: A command that connects, and says how it ended.
COMMAND = """
import sys

from curriculum_search.entry import run_command
from curriculum_search.experiment import Resources
from curriculum_search.runs.cluster import Cluster


def main():
    print("starting", flush=True)
    with Cluster(dashboard=False) as cluster:
        cluster.capacity(Resources())
        print("connected", flush=True)


run_command(main)
"""


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder for Ray's temporary files in which no cluster has left its address; nothing may be connected to."""
    for name in ("RAY_ADDRESS", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def init(**options: object) -> None:
        raise AssertionError("Ray was asked for")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    return tmp_path  # type: ignore[return-value]


def refusal() -> str:
    with pytest.raises(UserError) as caught, Cluster(dashboard=False) as cluster:
        cluster.capacity(Resources())
    return str(caught.value)


def dead_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "ray://127.0.0.1:10001"])
def test_an_address_that_no_driver_can_join_is_refused_with_what_to_do(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert refusal().startswith(
        f"RAY_ADDRESS is {address}, which a driver cannot join: submit the command with ray job"
    )


def test_auto_without_a_cluster_is_refused(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert refusal().startswith(f"RAY_ADDRESS is auto, and no cluster was started here ({nowhere}/ray/ray_current_")


@pytest.mark.parametrize("variable", ["RAY_TMPDIR", "TMPDIR"])
def test_a_dead_address_is_looked_for_where_ray_does(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    folder, address = tmp_path / "elsewhere", dead_address()
    (folder / "ray").mkdir(parents=True)
    (folder / "ray" / "ray_current_cluster").write_text(address)
    monkeypatch.setenv(variable, str(folder))
    assert refusal().startswith(f"no Ray cluster answers at {address} (")
    assert f"remove {folder}/ray/ray_current_cluster" in refusal()


def test_whatever_ray_raises_when_it_starts_is_one_message(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**options: object) -> None:
        raise OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /very/long")

    monkeypatch.setattr(ray, "init", init)
    assert refusal() == (
        "Ray cannot be started or joined: OSError: validate_socket_filename failed: AF_UNIX path length cannot exceed "
        "107 bytes: /very/long; set RAY_TMPDIR to a shorter folder"
    )


#: A command that Ray tells of a node that has died, as its control service does.
TOLD = """
import time

from ray._private.utils import publish_error_to_driver
from ray._private.worker import global_worker

from curriculum_search.experiment import Resources
from curriculum_search.runs.cluster import Cluster, ray_log

with Cluster(dashboard=False) as cluster:
    cluster.capacity(Resources())
    end = time.monotonic() + 60
    while not ray_log().exists() and time.monotonic() < end:  # a driver that has just connected may not listen yet
        publish_error_to_driver("node_died", "The raylet is dead.\\n40 lines", global_worker.gcs_client)
        time.sleep(1)
    print(ray_log())
    print(ray_log().read_text())
"""


def test_what_ray_tells_the_driver_is_kept_in_a_file_among_its_logs() -> None:
    done = subprocess.run([sys.executable, "-c", TOLD], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")
    path, *lines = done.stdout.splitlines()
    assert Path(path).parent.name == "logs"
    assert [line for line in lines if line][:2] == ["The raylet is dead.", "40 lines"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_arrives_while_ray_starts_is_obeyed_right_after_it(number: signal.Signals) -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "starting\n"
    command.send_signal(number)
    out, err = command.communicate(timeout=120)
    assert (command.returncode, out) == (130, "")
    assert err == "\ninterrupted; the same command goes on from here\n"


def test_a_connection_that_is_there_is_used_and_kept(two_cpus: None) -> None:
    with Cluster(dashboard=False) as cluster:
        assert cluster.capacity(Resources()).trials == 2
    assert ray.is_initialized()


def test_a_cluster_that_nobody_asks_is_not_started(no_ray: None) -> None:
    with Cluster(dashboard=False):
        pass
