"""How long a run will last, from a few steps that are told rather than trained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.clock import Clock
from support.workplace import Workplace

from curriculum_search.experiment import Resources, Training
from curriculum_search.loading import UserError
from curriculum_search.runs.groups import Groups
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, Status
from curriculum_search.search.design import Size
from curriculum_search.search.measure import Measured, measure
from curriculum_search.training import Report

FINISHED = Outcome(status=Status.FINISHED)
MEASURED = Measured(first_start=9.0, start=1.0, per_image=0.01, evaluation=2.0, final=5.0)


def test_a_run_lasts_for_its_start_its_images_and_its_evaluations() -> None:
    training = Training(total_images=640, batch_size=16, num_evaluations=4)
    assert MEASURED.run_seconds(training) == pytest.approx(1 + 6.4 + 3 * 2 + 5)
    assert MEASURED.run_seconds(replace(training, num_evaluations=1)) == pytest.approx(1 + 6.4 + 5)


class Cluster:
    """Runs jobs one after the other, each for so long as it is told, and keeps them."""

    def __init__(self, clock: Clock, end: Callable[[Job], Outcome]) -> None:
        self.clock, self.end = clock, end
        self.jobs: list[Job] = []
        self.scratch = Path()
        self.first_start, self.start, self.per_image, self.evaluation, self.final = 9.0, 9.0, 0.01, 2.0, 5.0

    def run(self, source: JobSource, *, resources: Resources, limit: int | None, scratch: Path, groups: Groups) -> None:
        self.scratch = scratch
        while isinstance(job := source.next(), Job):
            self.clock.now += self.start if self.jobs else self.first_start
            self.jobs.append(job)
            (job.run_dir / "checkpoint.pt").write_bytes(b"weights")
            training, trained = job.experiment.training, 0.0
            for i in range(training.num_evaluations):
                images = training.total_images // training.num_evaluations
                slow = 3.0 if i == 0 and len(self.jobs) == 1 else 1.0  # the first steps take longer
                trained += slow * self.per_image * images
                self.clock.now += slow * self.per_image * images
                self.clock.now += self.final if i == training.num_evaluations - 1 else self.evaluation
                source.reported(job, Report(images=(i + 1) * images, metrics={"train_seconds": trained}))
            source.ended(job, self.end(job))
        assert job is Exhausted.DONE


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    clock = Clock()
    cluster = Cluster(clock, lambda job: FINISHED)
    monkeypatch.setattr("curriculum_search.search.measure.time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr("curriculum_search.search.measure.run_jobs", cluster.run)
    return cluster


def measured(workplace: Workplace, *overrides: str, size: Size = "full", concurrency: int = 1) -> Measured:
    file = workplace.load(*overrides)
    return measure(
        file, size, concurrency=concurrency, root=workplace.results, cache_dir=workplace.cache, groups=Groups()
    )


def test_the_parts_of_a_run_are_told_from_its_reports(workplace: Workplace, cluster: Cluster) -> None:
    cluster.start = 1.0
    found = measured(workplace)
    assert found.per_image == pytest.approx(0.01)  # the slow first steps are left out
    assert found.evaluation == pytest.approx(2.0)
    assert found.final == pytest.approx(5.0)
    assert found.first_start == pytest.approx(9.0 + 2 * 0.8)  # they are part of starting
    assert found.start == pytest.approx(1.0)
    assert [job.experiment.training.num_evaluations for job in cluster.jobs] == [3, 1]


def test_starting_is_measured_once_more_only_where_it_counts(workplace: Workplace, cluster: Cluster) -> None:
    cluster.first_start = 0.5
    found = measured(workplace, "base.training.total_images=64000")
    assert found.start == found.first_start
    assert len(cluster.jobs) == 1


def test_as_many_runs_are_measured_at_once_as_the_study_has_up_to_eight(workplace: Workplace, cluster: Cluster) -> None:
    cluster.first_start = cluster.start = 0.0
    for concurrency, runs in ((3, 3), (20, 8)):
        cluster.jobs.clear()
        measured(workplace, concurrency=concurrency)
        assert len([job for job in cluster.jobs if job.experiment.training.num_evaluations == 3]) == runs
        assert len({job.key for job in cluster.jobs}) == len(cluster.jobs)
        assert all(job.experiment.curriculum.canonical().order.all_at_once for job in cluster.jobs)


def test_each_size_is_measured_with_what_it_trains(workplace: Workplace, cluster: Cluster) -> None:
    sizes: dict[Size, int] = {"small": 32, "full": 16}
    for size, batch_size in sizes.items():
        cluster.jobs.clear()
        measured(workplace, "study.proxy={training.batch_size: 32}", size=size)
        assert {job.experiment.training.batch_size for job in cluster.jobs} == {batch_size}


def test_nothing_of_the_measuring_stays(workplace: Workplace, cluster: Cluster) -> None:
    before = sorted(workplace.results.rglob("*"))
    measured(workplace)
    assert cluster.jobs[0].run_dir.parent == cluster.scratch.parent.resolve()
    assert workplace.results in cluster.scratch.parents  # on the storage that all nodes see
    assert sorted(workplace.results.rglob("*")) == before
    nowhere = workplace.folder / "not" / "yet"
    measure(workplace.load(), "full", concurrency=1, root=nowhere, cache_dir=workplace.cache, groups=Groups())
    assert not nowhere.parent.exists()


def test_steps_that_fail_end_the_measuring_with_their_reason(workplace: Workplace, cluster: Cluster) -> None:
    cluster.end = lambda job: Outcome(status=Status.FAILED, reason="OSError: disk full")
    before = sorted(workplace.results.rglob("*"))
    with pytest.raises(UserError) as error:
        measured(workplace, concurrency=3)
    assert str(error.value) == f"{workplace.study}: base: the first training steps failed: OSError: disk full"
    assert len(cluster.jobs) == 1  # none is begun after it
    assert sorted(workplace.results.rglob("*")) == before
