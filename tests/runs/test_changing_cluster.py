"""A node that joins is used at once, and the run of one that leaves goes on elsewhere; a line says each."""

from collections.abc import Callable
from typing import Any

from support.jobs import Jobs, base_job
from support.workplace import Workplace

from curriculum_search.experiment import Resources
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.job import Outcome, Status


class Changing(Jobs):
    """Adds a node while the first run is held up, and takes it away when it has a run of its own."""

    def __init__(self, workplace: Workplace, keys: list[str], cluster: Any) -> None:
        super().__init__([base_job(workplace, workplace.load(workplace.watched()), key) for key in keys])
        self.workplace, self.cluster = workplace, cluster
        self.node: Any = None  # False once it has been taken away
        self.released = False
        self.rooms: list[int] = []

    def tick(self, capacity: Capacity) -> None:
        if self.rooms[-1:] != [capacity.trials]:
            self.rooms.append(capacity.trials)
        nodes = {line.split()[1] for line in self.workplace.witnessed()}
        if self.node is None and nodes:
            self.node = self.cluster.add_node(num_cpus=1)
        elif self.node and len(nodes) == 2:
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.node = False
        elif self.node is False and len(self.lines) == 2 and not self.released:
            self.workplace.hold_after(None)
            self.released = True


def test_a_node_that_joins_is_used_and_the_run_of_one_that_leaves_goes_on(
    make_workplace: Callable[[], Workplace], cluster: Any
) -> None:
    workplace = make_workplace()
    workplace.hold_after(1)  # the second evaluation of the first run, and the first of the second
    source = Changing(workplace, ["first", "second"], cluster)
    run_jobs(source, resources=Resources(), limit=None, scratch=workplace.folder / "tune")
    assert source.outcomes == {key: Outcome(status=Status.FINISHED) for key in ("first", "second")}
    joined, left = source.lines
    assert joined == "a node has joined the cluster, which has 2 nodes, 2 CPUs, 0 GPUs now"
    assert left.startswith("a node has left the cluster (Ray says more in ")
    assert left.endswith("logs/curriculum-search.log), which has 1 node, 1 CPUs, 0 GPUs now")
    assert source.rooms == [1, 2, 1]
    assert list(source.restarts) == ["second"]
    for reports in source.reports.values():
        assert sorted({report.images for report in reports}) == [80, 160, 240, 320]
