"""What a cluster has room for."""

import pytest
import ray

from curriculum_search.experiment import Resources, WorkerRange
from curriculum_search.loading import UserError
from curriculum_search.runs.capacity import Capacity, check_capacity


def test_a_cluster_has_room_for_as_many_trials_as_fit_whole(two_cpus: None) -> None:
    assert check_capacity(Resources()) == Capacity(trials=2, slots=2, workers=1, nodes=1, cpus=2.0, gpus=0.0)
    assert check_capacity(Resources(cpus_per_worker=2)).trials == 1
    assert check_capacity(Resources(workers=2)).trials == 1


@pytest.mark.parametrize(
    ("resources", "asked", "slots"),
    [
        (Resources(cpus_per_worker=3), "1 workers with 3 CPUs each", 0),
        (Resources(gpus_per_worker=0.5), "1 workers with 1 CPUs and 0.5 GPUs each", 0),
        (Resources(workers=4), "4 workers with 1 CPUs each", 2),
        (Resources(workers=WorkerRange(min=4, max=8)), "4 workers with 1 CPUs each", 2),
    ],
)
def test_a_trial_larger_than_the_cluster_is_refused_with_what_there_is(
    two_cpus: None, resources: Resources, asked: str, slots: int
) -> None:
    with pytest.raises(UserError) as caught:
        check_capacity(resources)
    assert str(caught.value) == (
        f"base.resources: a trial asks for {asked}, and this cluster (1 node, 2 CPUs, 0 GPUs) has room for "
        f"{slots} of them; lower workers, cpus_per_worker or gpus_per_worker, or add nodes"
    )


Nodes = list[dict[str, float]]


@pytest.mark.parametrize(
    ("nodes", "resources", "trials"),
    [
        # A GPU is shared by as many as fit into it, and no worker gets parts of two.
        ([{"CPU": 8.0, "GPU": 2.0}], Resources(gpus_per_worker=0.4), 4),
        ([{"CPU": 8.0, "GPU": 2.0}], Resources(gpus_per_worker=1), 2),
        ([{"CPU": 3.0, "GPU": 2.0}], Resources(gpus_per_worker=0.25), 3),  # the processors are fewer
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 3.0}], Resources(gpus_per_worker=2), 1),
        # Workers of one trial may be on different nodes, one worker may not.
        ([{"CPU": 3.0}, {"CPU": 3.0}], Resources(cpus_per_worker=2, workers=2), 1),
        ([{"CPU": 3.0}, {"CPU": 3.0}], Resources(cpus_per_worker=2), 2),
        ([{"GPU": 1.0}, {"CPU": 2.0}], Resources(), 2),  # a node without processors
        # What is left beside whole trials is one more, with fewer workers.
        ([{"CPU": 11.0}], Resources(workers=WorkerRange(min=2, max=4)), 3),
        ([{"CPU": 9.0}], Resources(workers=WorkerRange(min=2, max=4)), 2),
        ([{"CPU": 3.0}], Resources(workers=WorkerRange(min=2, max=4)), 1),
    ],
)
def test_workers_are_fitted_into_nodes(
    monkeypatch: pytest.MonkeyPatch, nodes: Nodes, resources: Resources, trials: int
) -> None:
    gone = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
    monkeypatch.setattr(ray, "nodes", lambda: [gone, *({"Alive": True, "Resources": node} for node in nodes)])
    capacity = check_capacity(resources)
    assert (capacity.trials, capacity.nodes) == (trials, len(nodes))
    assert capacity.cpus == sum(node.get("CPU", 0.0) for node in nodes)
    assert capacity.gpus == sum(node.get("GPU", 0.0) for node in nodes)
