"""The processes of the tests do not meet in one Ray."""

import os
from pathlib import Path
from typing import Any

import ray
from ray._private import worker


def test_a_cluster_of_this_process_is_in_a_folder_of_its_own(two_cpus: None) -> None:
    assert ray.is_initialized()
    node: Any = worker._global_node
    session = Path(node.get_session_dir_path())
    assert session.is_relative_to(os.environ["RAY_TMPDIR"])
    assert os.environ["RAY_TMPDIR"] != "/tmp"
