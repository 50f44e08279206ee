"""Trials of two workers on two Ray nodes, one after the other on the same processes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import ray
import torch
from ray.cluster_utils import Cluster
from ray.util import placement_group_table
from support.jobs import Jobs, base_job, free_cpus, untimed, unwatched
from support.own_training import SAME_AS_NATIVE, write_own
from support.workplace import Workplace, wait_for

from curriculum_search.experiment import Experiment, FunctionTrainer, Resources
from curriculum_search.loading import validated
from curriculum_search.runs.capacity import Capacity, check_capacity
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.groups import Groups
from curriculum_search.runs.job import Job, Outcome, Status
from curriculum_search.training import PlainSession, train

POINTS = [80, 160, 240, 320]
TWO = Resources(workers=2)

#: Training code that leaves all behind that it can, and raises on one of its workers, when another waits for it.
MESSY = """
import logging
import os
import random

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def train(run):
    sampler = run.quantiles()
    sampler.quantiles(run.batch_size // run.world_size, run.device)
    network = DistributedDataParallel(torch.nn.Linear(4, 4))
    network(torch.ones(2, 4)).sum().backward()
    dist.new_group([0, 1])
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(3)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.mkldnn.enabled = False
    torch.set_grad_enabled(False)
    np.seterr(all="raise")
    logging.getLogger().addHandler(logging.StreamHandler())
    os.environ["OMP_NUM_THREADS"] = "7"
    os.chdir("/")
    random.seed(run.rank), np.random.seed(run.rank), torch.manual_seed(run.rank)
    if run.rank == 1:
        raise RuntimeError("only here")
    dist.all_reduce(torch.ones(1))
"""


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    """A Ray cluster of two nodes with one processor each, without a dashboard: Ray Train would ask that before it gave
    back what was held for a group."""
    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    yield
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Jobs, and what became of them.

    Attributes:
        source: what was told of them.
        fresh: the same of a job that was the first of its group.
        workplace: where they ran.
        base: what those of the native loop train.
    """

    source: Jobs
    fresh: Jobs
    workplace: Workplace
    base: Experiment

    def processes(self, key: str) -> dict[int, str]:
        """The processes that have evaluated a job, in the order in which they did first, with their nodes."""
        lines = (self.workplace.folder / f"{key}.log").read_text().splitlines()
        return {int(pid): node for pid, node in (line.split() for line in lines)}


@pytest.fixture(scope="module")
def trained(make_workplace: Callable[[], Workplace], two_nodes: None) -> Trained:
    """Jobs on one group, which each has to leave as it found it; one of them has a worker that dies."""
    workplace = make_workplace()
    settings = ("base.resources.workers=2", "base.training.microbatch_size=4")
    cadence = "base.cadence={status_images: 48, checkpoint_images: 48}"
    file = workplace.load(workplace.watched(), *settings, cadence)

    def job(key: str) -> Job:
        watched = workplace.watched().replace("witness.log", f"{key}.log")
        return base_job(workplace, workplace.load(watched, *settings, cadence), key)

    def own(key: str, code: str) -> Job:
        write_own(folder := workplace.folder / key, code)
        trainer = FunctionTrainer(
            path=str(folder / "my_training.py"),
            metrics={"val_loss": "minimize"},
            params={"learning_rate": file.base.training.learning_rate},
        )
        return replace(base_job(workplace, file, key), experiment=replace(file.base, trainer=trainer))

    for key in ("own", "messy"):
        (workplace.folder / key).mkdir()
    (workplace.folder / "killed.log.kill").touch()

    def sharded(key: str) -> Job:
        plain = job(key)
        shared_out = replace(plain.experiment, resources=replace(TWO, sharding="full"))
        return replace(plain, experiment=shared_out)

    messy = replace(own("messy", MESSY), tried_again="never")
    jobs = [job("stopped"), job("whole"), own("own", SAME_AS_NATIVE), messy]
    jobs += [sharded("sharded"), sharded("sharded again"), job("again"), job("killed")]
    source = Jobs(jobs, stop_at={"stopped": 0})
    groups = Groups()
    run_jobs(source, resources=TWO, limit=None, scratch=workplace.folder / "tune", groups=groups)
    groups.close()
    fresh = Jobs([job("fresh")])
    run_jobs(fresh, resources=TWO, limit=None, scratch=workplace.folder / "tune")
    return Trained(source=source, fresh=fresh, workplace=workplace, base=file.base)


def test_two_nodes_have_room_for_one_trial_of_two_workers(two_nodes: None) -> None:
    assert check_capacity(TWO) == Capacity(trials=1, slots=2, workers=2, nodes=2, cpus=2.0, gpus=0.0)


def test_the_workers_are_on_different_nodes_and_stay_from_job_to_job(trained: Trained) -> None:
    first = trained.processes("stopped")
    assert len(first) == len(set(first.values())) == 2
    assert trained.processes("whole") == trained.processes("again") == first


def test_a_job_of_a_group_that_has_done_others_equals_that_of_a_fresh_group_bit_for_bit(trained: Trained) -> None:
    reports = trained.source.reports
    assert trained.source.outcomes["whole"] == trained.source.outcomes["again"] == Outcome(status=Status.FINISHED)
    assert [report.images for report in reports["whole"]] == POINTS
    fresh = [untimed(report) for report in trained.fresh.reports["fresh"]]
    assert not trained.processes("fresh").keys() & trained.processes("again").keys()
    assert [untimed(report) for report in reports["whole"]] == fresh  # the second job of its group
    assert [untimed(report) for report in reports["again"]] == fresh  # the seventh


def test_a_job_that_raises_on_one_worker_fails_alone(trained: Trained) -> None:
    outcome = trained.source.outcomes["messy"]
    assert outcome.status is Status.FAILED
    assert outcome.reason == "TrainerError: my_training.py: raises RuntimeError: only here (my_training.py, line 29)"


def test_a_worker_that_dies_is_replaced_and_its_job_goes_on_from_its_checkpoint_to_the_undisturbed_numbers(
    trained: Trained,
) -> None:
    source = trained.source
    assert source.outcomes["killed"] == Outcome(status=Status.FINISHED)
    (reason,) = source.restarts["killed"]
    assert reason.startswith("its process died: ")
    assert len(trained.processes("killed").keys() - trained.processes("whole").keys()) == 2
    assert [untimed(r) for r in source.reports["killed"]] == [untimed(r) for r in source.reports["whole"]]
    assert [status.images for status in source.statuses["killed"]] == list(range(48, 320, 48))


def test_two_workers_reach_the_metrics_of_one(trained: Trained, tmp_path: Path) -> None:
    source, workplace = trained.source, trained.workplace
    session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
    train(validated(Experiment, unwatched(trained.base), "one worker"), session, workplace.cache)
    for alone, together in zip(session.reports, source.reports["whole"], strict=True):
        for metric in ("train_loss", "val_loss"):
            assert together.metrics[metric] == pytest.approx(alone.metrics[metric], rel=1e-4)
    assert source.reports["whole"][-1].exposure == session.reports[-1].exposure
    assert [status.images for status in source.statuses["whole"]] == list(range(48, 320, 48))
    assert (workplace.folder / "runs" / "whole" / "samples.png").exists()


def test_sharded_jobs_of_a_group_equal_each_other_bit_for_bit_and_the_others_to_rounding(trained: Trained) -> None:
    reports = trained.source.reports
    for key in ("sharded", "sharded again"):
        assert trained.source.outcomes[key] == Outcome(status=Status.FINISHED)
        assert trained.processes(key) == trained.processes("whole")
    assert [untimed(r) for r in reports["sharded again"]] == [untimed(r) for r in reports["sharded"]]
    for whole, shared in zip(reports["whole"], reports["sharded"], strict=True):
        for metric in ("train_loss", "val_loss"):
            assert shared.metrics[metric] == pytest.approx(whole.metrics[metric], rel=1e-4)
    assert list((trained.workplace.folder / "runs" / "sharded").glob("checkpoint.*.part-*-of-2.pt"))


def test_two_workers_of_a_function_reach_the_metrics_of_the_native_loop(trained: Trained) -> None:
    source = trained.source
    assert source.outcomes["own"] == Outcome(status=Status.FINISHED)
    for native, own in zip(source.reports["whole"], source.reports["own"], strict=True):
        assert (own.images, own.switches, own.exposure) == (native.images, native.switches, native.exposure)
        for metric in ("train_loss", "val_loss"):
            assert own.metrics[metric] == pytest.approx(native.metrics[metric], rel=1e-4)
    assert [status.images for status in source.statuses["own"]] == list(range(48, 320, 48))


def test_groups_that_are_closed_give_their_room_back(trained: Trained) -> None:
    assert trained.source.outcomes["stopped"] == Outcome(status=Status.STOPPED)
    assert wait_for(lambda: {group["state"] for group in placement_group_table().values()} == {"REMOVED"}, 30)
    assert wait_for(lambda: free_cpus() == 2.0, 30)
    assert not list((trained.workplace.folder / "groups").iterdir())
