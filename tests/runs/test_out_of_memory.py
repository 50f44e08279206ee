"""A node that runs out of memory costs the run that Ray kills for it, not the command."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import ray
from ray._common.utils import get_system_memory
from ray._private.utils import get_used_memory
from support.jobs import Jobs, base_job
from support.workplace import Workplace

from curriculum_search.experiment import Resources
from curriculum_search.runs import restarts
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.job import Status

#: A plug-in: an evaluator that takes memory, 100 MB at a time, until somebody stops it or it has 12 GB.
GREEDY = """
import time
from dataclasses import dataclass
from typing import Literal

from curriculum_search.evaluation import Evaluator


@dataclass(frozen=True, kw_only=True)
class Greedy(Evaluator):
    kind: Literal["greedy"] = "greedy"

    @property
    def names(self):
        return ("greed",)

    def evaluate(self, evidence):
        taken = []
        for _ in range(120):
            taken.append(b"x" * 100_000_000)
            time.sleep(0.05)
        yield "greed", 1.0
"""
VALUE = "{kind: val_loss, num_images: 8, num_levels: 10, num_intervals: 5}"
SPARE_BYTES = 6e9  # that may be taken before Ray calls the memory used up; workers that start take some as well


@pytest.fixture(scope="module")
def little_memory() -> Iterator[None]:
    """A Ray that takes its node to be out of memory when a little more is used than now."""
    ray.shutdown()
    used: int = get_used_memory()  # type: ignore[no-untyped-call]
    threshold = (used + SPARE_BYTES) / get_system_memory()
    system = {"memory_usage_threshold": threshold, "memory_monitor_refresh_ms": 100}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _system_config=system)
    yield
    ray.shutdown()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_killed_for_memory_is_tried_again_and_lost_with_that_reason_and_others_go_on(
    make_workplace: Callable[[], Workplace], monkeypatch: pytest.MonkeyPatch, little_memory: None, workers: int
) -> None:
    monkeypatch.setattr(restarts, "_MOST_DEATHS", 1)
    workplace = make_workplace()
    (workplace.folder / "greedy.py").write_text(GREEDY)
    resources = Resources(workers=workers)
    jobs = []
    for key, evaluators in (("large", f"{VALUE}, {{kind: greedy}}"), ("small", VALUE)):
        file = workplace.load(
            "base.plugins=[witness.py, greedy.py]",
            "base.training.microbatch_size=4",
            f"base.evaluation.evaluators=[{evaluators}]",
        )
        job = base_job(workplace, file, key)
        jobs.append(replace(job, experiment=replace(job.experiment, resources=resources)))
    source = Jobs(jobs)
    run_jobs(source, resources=resources, limit=1, scratch=workplace.folder / "tune")
    outcome = source.outcomes["large"]
    assert outcome.status is Status.LOST
    assert outcome.reason.startswith("its process was killed because its node ran out of memory (")
    assert len(source.restarts["large"]) == 1
    assert source.outcomes["small"].status is Status.FINISHED
