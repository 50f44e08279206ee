"""What a run can be given."""

from typing import Any

import pytest

from curriculum_search.experiment import Resources, WorkerRange


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workers": 0}, "workers must be at least 1"),
        ({"gpus_per_worker": -1.0}, "gpus_per_worker must be at least 0"),
        ({"gpus_per_worker": 1.5}, "gpus_per_worker must be a fraction up to 1 or a whole number"),
        ({"gpu_data_share": 1.5}, r"gpu_data_share must be in \[0, 1\], not 1.5"),
        ({"workers": WorkerRange(min=1, max=4), "sharding": "full"}, "sharding must be none with one worker"),
        ({"sharding": "full"}, "sharding must be none with one worker, not full: it needs workers to share"),
    ],
)
def test_resources_that_no_cluster_has_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resources(**fields)


@pytest.mark.parametrize(("least", "most"), [(0, 4), (4, 4), (8, 2)])
def test_a_range_of_workers_goes_from_few_to_more(least: int, most: int) -> None:
    with pytest.raises(ValueError, match=rf"min must be at least 1 and less than max, not {least} \(max: {most}\)"):
        WorkerRange(min=least, max=most)


def test_a_number_of_workers_is_a_range_of_one() -> None:
    fixed, ranged = Resources(workers=4, gpus_per_worker=0.5), Resources(workers=WorkerRange(min=1, max=4))
    assert (fixed.fewest_workers, fixed.most_workers, fixed.most_gpus) == (4, 4, 2.0)
    assert (ranged.fewest_workers, ranged.most_workers, ranged.in_group) == (1, 4, True)
    assert not Resources().in_group
    assert Resources(workers=WorkerRange(min=2, max=4), sharding="full").sharding == "full"
