"""Runs on a real cluster that are asked to stop: they are saved at once, go on, and lose no image."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray
import torch
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined]
from support.jobs import Jobs, base_job, unwatched
from support.mlflow_server import free_port
from support.workplace import Workplace

from curriculum_search.experiment import Experiment, Resources
from curriculum_search.loading import validated
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.job import Job, Outcome, Status
from curriculum_search.training import PlainSession, Report, StatusReport, train

IMAGES, BATCH = 4_800, 16
TIMES = {"images_per_second", "train_seconds"}


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A Ray cluster whose head has no processor to give, and one node with two."""
    ray.shutdown()
    head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": free_port()}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]


class Asked(Jobs):
    """Does something, once, after the first evaluation of its one run, when a few more statuses have come."""

    def __init__(self, job: Job, ask: Callable[["Asked"], None]) -> None:
        super().__init__([job])
        self.job, self.ask = job, ask
        self.processes: list[int] = []  # that have evaluated the run
        self.nodes: list[str] = []
        self.images_when_asked = 0

    def progressed(self, job: Job, status: StatusReport) -> None:
        super().progressed(job, status)
        if not self.images_when_asked and status.images > IMAGES // 10 + 5 * BATCH:
            self.images_when_asked = status.images
            self._read()
            self.ask(self)

    def ended(self, job: Job, outcome: Outcome) -> None:
        super().ended(job, outcome)
        self._read()

    def _read(self) -> None:
        log = self.job.experiment.evaluation.evaluators[1].to_dict()["log"]
        with open(log) as file:
            witnessed = [line.split() for line in file]
        self.processes = list(dict.fromkeys(int(pid) for pid, _ in witnessed))
        self.nodes = list(dict.fromkeys(node for _, node in witnessed))


@pytest.fixture
def make_job(make_workplace: Callable[[], Workplace]) -> Callable[..., Job]:
    workplace = make_workplace()

    def make(*overrides: str) -> Job:
        file = workplace.load(
            workplace.watched(),
            f"base.training={{total_images: {IMAGES}, batch_size: {BATCH}, num_evaluations: 10}}",
            f"base.cadence={{status_images: {BATCH}, checkpoint_minutes: null}}",
            *overrides,
        )
        return base_job(workplace, file, "asked")

    return make


def undisturbed(job: Job, folder: Any) -> dict[int, dict[str, float]]:
    session = PlainSession(run_dir=folder, device=torch.device("cpu"))
    train(validated(Experiment, unwatched(job.experiment), job.key), session, job.cache_dir)
    return values(session.reports)


def values(reports: list[Report]) -> dict[int, dict[str, float]]:
    return {r.images: {k: v for k, v in r.metrics.items() if k not in TIMES} for r in reports}


def lost(source: Asked) -> int:
    """Images that were trained on again: a run says one status a step."""
    images = [status.images for status in source.statuses["asked"]]
    assert set(images) == set(range(BATCH, IMAGES + 1, BATCH))
    return (len(images) - len(set(images))) * BATCH


def test_a_worker_that_is_sent_sigterm_saves_its_run_which_goes_on_without_losing_an_image(
    make_job: Callable[..., Job], two_cpus: None, tmp_path: Any
) -> None:
    job = make_job()
    source = Asked(job, lambda source: os.kill(source.processes[0], signal.SIGTERM))
    run_jobs(source, resources=Resources(), limit=None, scratch=job.run_dir.parents[1] / "tune")
    assert source.outcomes == {"asked": Outcome(status=Status.FINISHED)}
    (reason,) = source.restarts["asked"]
    assert reason.startswith("its process was sent SIGTERM; it is saved at ")
    assert lost(source) == 0
    assert len(source.processes) == 2
    assert values(source.reports["asked"]) == undisturbed(job, tmp_path)


def drain(node_id: str) -> None:
    """Say that a node goes away in half a minute, as clouds do."""
    accepted, why = GcsClient(address=ray.get_runtime_context().gcs_address).drain_node(
        node_id,
        DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
        "preemption",
        int(time.time() * 1000) + 30_000,
    )
    assert accepted, why


def test_the_run_of_a_node_that_is_drained_is_saved_and_goes_on_on_another_without_losing_an_image(
    make_job: Callable[..., Job], cluster: Any
) -> None:
    def ask(source: Asked) -> None:
        cluster.add_node(num_cpus=2)
        drain(source.nodes[0])

    job = make_job()
    source = Asked(job, ask)
    run_jobs(source, resources=Resources(), limit=1, scratch=job.run_dir.parents[1] / "tune")
    assert source.outcomes == {"asked": Outcome(status=Status.FINISHED)}
    (reason,) = source.restarts["asked"]
    assert reason.startswith("its node is being drained; it is saved at ")
    assert lost(source) == 0
    assert len(source.nodes) == 2


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_run_of_two_workers_whose_node_is_drained_goes_on_on_another_without_losing_an_image(
    make_job: Callable[..., Job], cluster: Any
) -> None:
    def ask(source: Asked) -> None:
        cluster.add_node(num_cpus=2)
        drain(source.nodes[0])

    job = make_job("base.resources.workers=2")
    source = Asked(job, ask)
    run_jobs(source, resources=Resources(workers=2), limit=1, scratch=job.run_dir.parents[1] / "tune")
    assert source.outcomes == {"asked": Outcome(status=Status.FINISHED)}
    (reason,) = source.restarts["asked"]
    assert reason.startswith("its node is being drained; it is saved at ")
    assert lost(source) == 0
    assert len(source.nodes) == 2


def test_a_driver_that_is_asked_to_stop_has_its_run_saved_and_the_next_command_loses_no_image(
    make_job: Callable[..., Job], two_cpus: None, tmp_path: Any
) -> None:
    job = make_job()
    scratch = job.run_dir.parents[1] / "tune"
    first = Asked(job, lambda source: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(KeyboardInterrupt):
        run_jobs(first, resources=Resources(), limit=None, scratch=scratch)
    assert first.outcomes == {}
    assert first.restarts == {}
    assert first.lines == ["asked to stop by SIGUSR1: saving what is under way (runs: 1); once more ends it now"]
    (remark,) = first.remarks["asked"]
    assert remark.startswith("the command was sent SIGUSR1; it is saved at ")

    second = Asked(job, lambda source: None)
    run_jobs(second, resources=Resources(), limit=None, scratch=scratch)
    assert second.outcomes == {"asked": Outcome(status=Status.FINISHED)}
    second.statuses["asked"][:0] = first.statuses["asked"]
    assert lost(second) == 0
    assert values(second.reports["asked"]) == undisturbed(job, tmp_path)
