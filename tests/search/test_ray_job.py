"""``ray job submit`` against a cluster of ``ray start --head``, as docs/how-to/run-on-a-cluster.md has it: token
authentication, logs, results, stop and resume; and the cluster's Python knows nothing of this package but what is
uploaded."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.tracked import tracked_runs
from support.workplace import Workplace, wait_for

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(900)


@dataclass
class Head:
    """A cluster of one node, and a shell on it."""

    workplace: Workplace
    folder: Path
    temporary: str  # Ray's sockets lie below it, and a socket's path has at most 107 bytes
    ports: tuple[int, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A Python that has every installed package but this one, which is installed by a .pth file, if at all."""
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "python").symlink_to(Path(sys.executable).resolve())
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "CURRICULUM_SEARCH_"))}
        self.environment = kept | {
            **self.workplace.environment,
            "HOME": str(self.folder / "home"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "RAY_TMPDIR": self.temporary,
            "RAY_AUTH_MODE": "token",
            "RAY_JOB_STOP_WAIT_TIME_S": "30",  # what a stopped job has to say may take more than 3 s on a busy machine
        }
        shutil.copytree(self.workplace.results, self.results)

    @property
    def results(self) -> Path:
        """Where a job's results are to go."""
        return self.folder / "home" / "curriculum-search-results"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}"

    @property
    def study(self) -> Path:
        return self.results / "tiny"

    def start(self) -> subprocess.Popen[bytes]:
        names = ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port")
        ports = [f"--{name}={port}" for name, port in zip(names, self.ports, strict=True)]
        with open(self.folder / "start.log", "w") as log:
            return subprocess.Popen(
                [*self._ray, "start", "--head", "--block", "--num-cpus=2", *ports],
                env=self.environment,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def job(self, what: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """``ray job``, from the repository."""
        return subprocess.run(
            [*self._ray, "job", what, "--address", self.address, *map(str, arguments)],
            cwd=REPOSITORY,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def submit(self, *options: str) -> subprocess.CompletedProcess[str]:
        study = ("jobs/search.py", self.workplace.study, self.workplace.watched())
        few = ("study.trials=1", "study.baselines=[no_curriculum]", "study.confirmation.leaders=0")
        return self.job("submit", "--working-dir", ".", *options, "--", "python", *study, *few)

    @property
    def _ray(self) -> list[str]:
        return [str(self.folder / "bin" / "python"), "-m", "ray.scripts.scripts"]

    def statuses(self) -> dict[str, str]:
        """MLflow's run names and statuses."""
        runs = tracked_runs(f"sqlite:///{self.results / 'mlflow.db'}")
        return {run.info.run_name: run.info.status for run in runs}


def free_ports(number: int) -> tuple[int, ...]:
    """Ports below those that Ray gives to its workers."""
    found = []
    for port in range(6400, 10000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                found.append(port)
        if len(found) == number:
            break
    return tuple(found)


@pytest.fixture(scope="module")
def head(make_workplace: Callable[[], Workplace], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    workplace = make_workplace()
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as temporary:
        head = Head(workplace, tmp_path_factory.mktemp("head"), temporary, free_ports(4))
        generate = [*head._ray, "get-auth-token", "--generate"]
        subprocess.run(generate, env=head.environment, check=True, capture_output=True)
        process = head.start()
        assert wait_for(lambda: head.job("list").returncode == 0, 60), (head.folder / "start.log").read_text()
        yield head
        process.send_signal(signal.SIGTERM)  # ``ray stop`` would stop every Ray of this machine
        process.wait(30)
        workplace.kill_all()


@dataclass
class Jobs:
    """A job that was stopped, and the same job again."""

    stop: subprocess.CompletedProcess[str]
    logs_of_stopped: str
    statuses_of_stopped: dict[str, str]
    trials_left: bool
    again: subprocess.CompletedProcess[str]
    upload: dict[Path, int]  # what the job was sent, with sizes in bytes


@pytest.fixture(scope="module")
def jobs(head: Head) -> Jobs:
    workplace = head.workplace
    workplace.hold_after(5)
    name = ("--submission-id", "first")
    submitted = head.submit("--no-wait", *name)
    assert submitted.returncode == 0, submitted.stderr
    assert wait_for(lambda: len(workplace.witnessed()) > 5, 300), head.job("logs", "first").stdout
    stop = head.job("stop", "first")
    logs = head.job("logs", "first").stdout
    statuses = head.statuses()
    processes = {int(line.split()[0]) for line in workplace.witnessed()}
    left = not wait_for(lambda: not processes & set(workplace.started()), 30)
    workplace.hold_after(None)
    again = head.submit()
    (package,) = Path(head.temporary).glob("ray/session_2*/runtime_resources/working_dir_files/_ray_pkg_*/")
    files = {path.relative_to(package): path.stat().st_size for path in package.rglob("*") if path.is_file()}
    return Jobs(stop, logs, statuses, left, again, files)


def test_whoever_has_no_token_is_sent_away(head: Head) -> None:
    refused = head.job("list", RAY_AUTH_MODE="disabled")
    assert refused.returncode != 0
    assert "Authentication required" in refused.stderr


def test_the_package_is_not_installed_on_the_cluster(head: Head) -> None:
    python = str(head.folder / "bin" / "python")
    imported = subprocess.run(
        [python, "-c", "import torch, ray; import curriculum_search"],
        env=head.environment,
        cwd=head.folder,
        capture_output=True,
        text=True,
    )
    assert "No module named 'curriculum_search'" in imported.stderr


def test_a_job_runs_the_study_with_its_log_on_the_terminal(head: Head, jobs: Jobs) -> None:
    assert jobs.again.returncode == 0, jobs.again.stdout + jobs.again.stderr
    for words in ("finished at 320 images", "tiny: val_loss at the end", "Verdict: ", "no curriculum"):
        assert words in jobs.again.stdout
    assert "succeeded" in jobs.again.stdout + jobs.again.stderr


def test_results_outlive_the_job(head: Head, jobs: Jobs) -> None:
    assert f"Best config:  {head.study / 'best.yaml'}" in jobs.again.stdout
    assert (head.study / "best.yaml").exists()
    assert head.statuses()["tiny"] == "FINISHED"


def test_a_stopped_job_says_how_to_go_on_and_leaves_no_trial(jobs: Jobs) -> None:
    assert jobs.stop.returncode == 0, jobs.stop.stderr
    assert "interrupted; the same command goes on from here" in jobs.logs_of_stopped
    assert "Traceback" not in jobs.logs_of_stopped
    assert not jobs.trials_left
    assert jobs.statuses_of_stopped["tiny"] == "KILLED"
    assert "RUNNING" not in jobs.statuses_of_stopped.values()


def test_the_same_job_again_goes_on(head: Head, jobs: Jobs) -> None:
    assert 2 * 4 <= len(head.workplace.witnessed()) <= 2 * 4 + 2
    runs = list((head.study / "runs").iterdir())
    assert len(runs) == 2
    assert all(len((run / "log.jsonl").read_text().splitlines()) == 4 for run in runs)


def test_little_is_uploaded(jobs: Jobs) -> None:
    assert sum(jobs.upload.values()) < 3e6
    assert not {".venv", ".git", "tests", "results"} & {path.parts[0] for path in jobs.upload}
    package = {path.relative_to(REPOSITORY) for path in (REPOSITORY / "curriculum_search").rglob("*.py")}
    assert package <= set(jobs.upload)
