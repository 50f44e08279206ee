"""What a run can be given."""

from typing import Any

import pytest

from curriculum_search.experiment import Resources


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"workers": 0}, "workers must be at least 1"),
        ({"gpus_per_worker": -1.0}, "gpus_per_worker must be at least 0"),
        ({"gpus_per_worker": 1.5}, "gpus_per_worker must be a fraction up to 1 or a whole number"),
        ({"gpu_data_share": 1.5}, r"gpu_data_share must be in \[0, 1\], not 1.5"),
        ({"sharding": "full"}, "sharding must be none with one worker, not full: it needs workers to share"),
    ],
)
def test_resources_that_no_cluster_has_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resources(**fields)
