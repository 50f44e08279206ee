"""A run whose workers come and go with the nodes of a real cluster."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.jobs import Jobs, base_job, unwatched
from support.workplace import Workplace

from curriculum_search.experiment import Experiment, Resources, WorkerRange
from curriculum_search.loading import validated
from curriculum_search.runs import groups, notices
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.job import Outcome, Status
from curriculum_search.training import PlainSession, train

pytestmark = pytest.mark.timeout(400)


class Changing(Jobs):
    """Adds a node while the run's one worker is in its first evaluation, and takes it away when there are two workers
    in a later one."""

    def __init__(self, workplace: Workplace, cluster: Any, *settings: str) -> None:
        self.file = workplace.load(workplace.watched(), *settings)
        super().__init__([base_job(workplace, self.file, "run")])
        self.workplace, self.cluster = workplace, cluster
        self.node: Any = None

    def tick(self, capacity: Capacity) -> None:
        witnessed = self.workplace.witnessed()
        if self.node is None and witnessed:
            self.node = self.cluster.add_node(num_cpus=1)
        elif self.node and len({line.split()[1] for line in witnessed}) == 2:
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.node = False
            self.workplace.hold_after(None)

    def let_go(self) -> None:
        """Let the worker, which has been asked to leave, come to the end of its evaluation, and hold the next up."""
        time.sleep(1)  # until it has heard
        self.workplace.hold_after(len(self.workplace.witnessed()) + 1)


@pytest.mark.long
def test_a_run_grows_and_shrinks_with_its_cluster_and_comes_to_the_numbers_of_one_worker(
    make_workplace: Callable[[], Workplace], cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(groups, "_ROOM_SECONDS", 1.0)
    workplace = make_workplace()
    workplace.hold_after(0)
    settings = (
        "base.resources.workers={min: 1, max: 2}",
        "base.training.total_images=960",
        "base.training.num_evaluations=12",
        "base.cadence={status_images: 48, checkpoint_images: 48}",
    )
    source = Changing(workplace, cluster, *settings)
    ask = notices.ask_group_to_leave

    def asked(group: str, why: str) -> None:
        ask(group, why)
        source.let_go()

    monkeypatch.setattr(groups, "ask_group_to_leave", asked)
    run_jobs(
        source,
        resources=Resources(workers=WorkerRange(min=1, max=2)),
        limit=None,
        scratch=workplace.folder / "tune",
    )
    assert source.outcomes == {"run": Outcome(status=Status.FINISHED)}
    grown, *shrunk = source.restarts["run"]
    assert grown.startswith("there is room for 2 workers now, and it has 1; it is saved at ")
    assert shrunk
    remarks = source.remarks["run"]
    assert remarks[0] == remarks[-1] == "trained by 1 of 2 workers from now on"
    assert "trained by 2 of 2 workers from now on" in remarks
    session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
    train(validated(Experiment, unwatched(source.file.base), "one worker"), session, workplace.cache)
    by_images = {report.images: report for report in source.reports["run"]}
    assert sorted(by_images) == list(range(80, 961, 80))
    for alone in session.reports:
        for metric in ("train_loss", "val_loss"):
            assert by_images[alone.images].metrics[metric] == pytest.approx(alone.metrics[metric], rel=1e-4)
    assert by_images[960].exposure == session.reports[-1].exposure
