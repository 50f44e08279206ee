"""Trials of two workers, which Ray Train puts on two Ray nodes."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from ray.util import placement_group_table

from curriculum_search.experiment import Experiment, Resources
from curriculum_search.loading import validated
from curriculum_search.search.execution.executor import Capacity, check_capacity, run_jobs
from curriculum_search.search.execution.jobs import Exhausted, Job, Outcome, Status
from curriculum_search.training import PlainSession, train

POINTS = [80, 160, 240, 320]
TWO = Resources(workers=2)


class Jobs:
    """Two jobs, one after the other; the first is stopped at its first report."""

    def __init__(self, jobs: list[Job]) -> None:
        self.waiting = jobs
        self.reports: dict[str, list[dict[str, Any]]] = {}
        self.outcomes: dict[str, Outcome] = {}

    def next(self) -> Job | Exhausted:
        return self.waiting.pop(0) if self.waiting else Exhausted.DONE

    def reported(self, job: Job, report: dict[str, Any]) -> bool:
        self.reports.setdefault(job.key, []).append(report)
        return job.key == "stopped"

    def ended(self, job: Job, outcome: Outcome) -> None:
        self.outcomes[job.key] = outcome

    def tick(self) -> None:
        pass


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    """A Ray cluster of two nodes with one processor each, and a dashboard as a cluster has it."""
    ray.shutdown()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    head = {"num_cpus": 1, "include_dashboard": True, "dashboard_port": port}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def trained(make_workplace: Callable[[], Any], two_nodes: None) -> tuple[Jobs, Any, Experiment]:
    """A job that is stopped early, then one that is not: it finds room only if the first has given back its own."""
    workplace = make_workplace()
    settings = ("base.resources.workers=2", "base.training.microbatch_size=4", "base.cadence.status_images=48")
    file = workplace.load(workplace.watched(), *settings)
    jobs = [
        Job(
            key=key,
            experiment=file.base.to_dict(),
            run_dir=workplace.folder / "runs" / key,
            cache_dir=workplace.cache,
            plugins=file.plugins,
            working_dir=Path.cwd(),
        )
        for key in ("stopped", "whole")
    ]
    source = Jobs(jobs)
    run_jobs(source, resources=TWO, concurrency=1, scratch=workplace.folder / "tune")
    return source, workplace, file.base


def test_two_nodes_have_room_for_one_trial_of_two_workers(two_nodes: None) -> None:
    assert check_capacity(TWO) == Capacity(trials=1, nodes=2, cpus=2.0, gpus=0.0)


def test_the_workers_are_on_different_nodes(trained: tuple[Jobs, Any, Experiment]) -> None:
    _, workplace, _ = trained
    seen = [line.split() for line in workplace.witnessed()]
    processes = dict(seen)
    assert len(set(processes.values())) == 2
    last_run = list(dict.fromkeys(process for process, _ in reversed(seen)))[:2]
    assert {processes[process] for process in last_run} == set(processes.values())


def test_two_workers_reach_the_metrics_of_one(trained: tuple[Jobs, Any, Experiment], tmp_path: Path) -> None:
    source, workplace, base = trained
    assert source.outcomes["whole"] == Outcome(status=Status.FINISHED)
    assert [report["images"] for report in source.reports["whole"]] == POINTS
    plain = base.to_dict()
    plain["evaluation"]["evaluators"][1]["log"] = ""
    session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
    train(validated(Experiment, plain, "one worker"), session, workplace.cache)
    for alone, together in zip(session.reports, source.reports["whole"], strict=True):
        for metric in ("train_loss", "val_loss"):
            assert together["metrics"][metric] == pytest.approx(alone.metrics[metric], rel=1e-4)
    assert source.reports["whole"][-1]["exposure"] == session.reports[-1].exposure
    assert (workplace.folder / "runs" / "whole" / "samples.png").exists()


def test_a_trial_that_is_stopped_early_gives_its_room_back(
    trained: tuple[Jobs, Any, Experiment], wait_for: Callable[[Callable[[], bool], float], bool]
) -> None:
    source, *_ = trained
    assert source.outcomes["stopped"] == Outcome(status=Status.STOPPED)
    assert source.outcomes["whole"].status is Status.FINISHED
    assert wait_for(lambda: {group["state"] for group in placement_group_table().values()} == {"REMOVED"}, 30)
    assert wait_for(lambda: ray.available_resources().get("CPU") == 2.0, 30)
