"""Trials of two workers, which Ray Train puts on two Ray nodes."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray import tune
from ray.cluster_utils import Cluster
from ray.util import placement_group_table
from support.jobs import Jobs, base_job, free_cpus, unwatched
from support.own_training import SAME_AS_NATIVE, write_own
from support.workplace import Workplace, wait_for

from curriculum_search.experiment import Experiment, FunctionTrainer, Resources
from curriculum_search.loading import validated
from curriculum_search.runs.capacity import Capacity, check_capacity
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.job import Outcome, Status
from curriculum_search.runs.worker import REPORT, STATUS, run_trial
from curriculum_search.training import PlainSession, Report, StatusReport, train

POINTS = [80, 160, 240, 320]
TWO = Resources(workers=2)


TIMES = {"images_per_second", "train_seconds"}


def untimed(report: Report) -> tuple[Any, ...]:
    metrics = {name: value for name, value in report.metrics.items() if name not in TIMES}
    return report.images, metrics, report.switches, report.final, report.exposure


def test_a_trial_sends_reports_and_statuses_as_text_each_under_its_own_key(
    make_workplace: Callable[[], Workplace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = make_workplace()
    file = workplace.load("base.cadence.status_images=48")
    job = base_job(workplace, file, "told")
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(tune, "report", sent.append)
    run_trial({"job": job.encode()})
    session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
    train(job.experiment, session, job.cache_dir)

    reports = [Report.from_json(message[REPORT]) for message in sent if REPORT in message]
    assert [untimed(report) for report in reports] == [untimed(report) for report in session.reports]
    statuses = [StatusReport.from_json(message[STATUS]) for message in sent if STATUS in message]
    assert [s.images for s in statuses] == [s.images for s in session.statuses] == list(range(48, 320, 48))
    assert [s.train_loss for s in statuses] == [s.train_loss for s in session.statuses]
    assert [message["images"] for message in sent] == sorted([*range(48, 320, 48), *range(80, 321, 80)])
    assert all(message.keys() in ({"images", REPORT}, {"images", STATUS}) for message in sent)


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
    cluster.shutdown()  # type: ignore[no-untyped-call]


#: The source of two jobs, where they ran, and what they trained.
Pair = tuple[Jobs, Workplace, Experiment]


@pytest.fixture(scope="module")
def trained(make_workplace: Callable[[], Workplace], two_nodes: None) -> Pair:
    """A job that is stopped early, then one that is not: it finds room only if the first has given back its own."""
    workplace = make_workplace()
    settings = ("base.resources.workers=2", "base.training.microbatch_size=4", "base.cadence.status_images=48")
    file = workplace.load(workplace.watched(), *settings)
    write_own(workplace.folder, SAME_AS_NATIVE)
    trainer = FunctionTrainer(
        path=str(workplace.folder / "my_training.py"),
        metrics={"val_loss": "minimize"},
        params={"learning_rate": file.base.training.learning_rate},
    )
    jobs = [base_job(workplace, file, key) for key in ("stopped", "whole", "own")]
    jobs[-1] = replace(jobs[-1], experiment=replace(file.base, trainer=trainer))
    source = Jobs(jobs, stop_at={"stopped": 0})
    run_jobs(source, resources=TWO, limit=None, scratch=workplace.folder / "tune")
    return source, workplace, file.base


def test_two_nodes_have_room_for_one_trial_of_two_workers(two_nodes: None) -> None:
    assert check_capacity(TWO) == Capacity(trials=1, slots=2, workers=2, nodes=2, cpus=2.0, gpus=0.0)


def test_the_workers_are_on_different_nodes(trained: Pair) -> None:
    _, workplace, _ = trained
    seen = [line.split() for line in workplace.witnessed()]
    processes = dict(seen)
    assert len(set(processes.values())) == 2
    last_run = list(dict.fromkeys(process for process, _ in reversed(seen)))[:2]
    assert {processes[process] for process in last_run} == set(processes.values())


def test_two_workers_reach_the_metrics_of_one(trained: Pair, tmp_path: Path) -> None:
    source, workplace, base = trained
    assert source.outcomes["whole"] == Outcome(status=Status.FINISHED)
    assert [report.images for report in source.reports["whole"]] == POINTS
    session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
    train(validated(Experiment, unwatched(base), "one worker"), session, workplace.cache)
    for alone, together in zip(session.reports, source.reports["whole"], strict=True):
        for metric in ("train_loss", "val_loss"):
            assert together.metrics[metric] == pytest.approx(alone.metrics[metric], rel=1e-4)
    assert source.reports["whole"][-1].exposure == session.reports[-1].exposure
    assert [status.images for status in source.statuses["whole"]] == list(range(48, 320, 48))
    assert (workplace.folder / "runs" / "whole" / "samples.png").exists()


def test_two_workers_of_a_function_reach_the_metrics_of_the_native_loop(trained: Pair) -> None:
    source, *_ = trained
    assert source.outcomes["own"] == Outcome(status=Status.FINISHED)
    for native, own in zip(source.reports["whole"], source.reports["own"], strict=True):
        assert (own.images, own.switches, own.exposure) == (native.images, native.switches, native.exposure)
        for metric in ("train_loss", "val_loss"):
            assert own.metrics[metric] == pytest.approx(native.metrics[metric], rel=1e-4)
    assert [status.images for status in source.statuses["own"]] == list(range(48, 320, 48))


def test_a_trial_that_is_stopped_early_gives_its_room_back(trained: Pair) -> None:
    source, *_ = trained
    assert source.outcomes["stopped"] == Outcome(status=Status.STOPPED)
    assert source.outcomes["whole"].status is Status.FINISHED
    assert wait_for(lambda: {group["state"] for group in placement_group_table().values()} == {"REMOVED"}, 30)
    assert wait_for(lambda: free_cpus() == 2.0, 30)
