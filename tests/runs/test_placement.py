"""What a cluster holds for a group is given back, with its processes, by whoever knows the group's name."""

from typing import Any

import pytest
import ray
from ray.exceptions import RayActorError
from ray.util import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from support.jobs import free_cpus
from support.workplace import wait_for

from curriculum_search.runs import placement


def test_what_is_held_for_a_group_is_given_back_once(two_cpus: None) -> None:
    class Member:  # here, for a worker cannot import this file
        def remember(self) -> None:
            placement.remember("some-group")

    assert wait_for(lambda: free_cpus() == 2.0, 120)
    held = placement_group([{"CPU": 1}])
    where = PlacementGroupSchedulingStrategy(placement_group=held)
    actor: Any = ray.remote(Member)
    member = actor.options(num_cpus=1, scheduling_strategy=where).remote()
    ray.get(member.remember.remote())
    placement.remove("some-group")
    assert wait_for(lambda: free_cpus() == 2.0, 120)
    with pytest.raises(RayActorError):
        ray.get(member.remember.remote())
    placement.remove("some-group")  # of which nothing is known any more
