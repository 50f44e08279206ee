"""Jobs that are handed out as they are, and what is heard of them."""

from pathlib import Path
from typing import Any

import ray

from curriculum_search.experiment import Experiment
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome
from curriculum_search.search.study import StudyFile
from curriculum_search.training import Report, StatusReport
from support.workplace import Workplace


class Jobs(JobSource):
    """A source of jobs that keeps what it is told, and stops a job at its first report at or after so many images.

    Args:
        jobs: what is handed out, in this order.
        stop_at: key of a job to images.
    """

    def __init__(self, jobs: list[Job], stop_at: dict[str, int] | None = None) -> None:
        self.waiting = jobs
        self.stop_at = stop_at or {}
        self.reports: dict[str, list[Report]] = {}
        self.statuses: dict[str, list[StatusReport]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.restarts: dict[str, list[str]] = {}
        self.remarks: dict[str, list[str]] = {}
        self.went: list[str] = []
        self.lines: list[str] = []
        self.ticks = 0

    def next(self) -> Job | Exhausted:
        return self.waiting.pop(0) if self.waiting else Exhausted.DONE

    def reported(self, job: Job, report: Report) -> bool:
        self.reports.setdefault(job.key, []).append(report)
        return report.images >= self.stop_at.get(job.key, 10**9)

    def progressed(self, job: Job, status: StatusReport) -> None:
        self.statuses.setdefault(job.key, []).append(status)

    def ended(self, job: Job, outcome: Outcome) -> None:
        self.outcomes[job.key] = outcome

    def restarted(self, job: Job, reason: str) -> None:
        self.restarts.setdefault(job.key, []).append(reason)

    def remarked(self, job: Job, words: str) -> None:
        self.remarks.setdefault(job.key, []).append(words)

    def went_on(self, job: Job) -> None:
        self.went.append(job.key)

    def noticed(self, line: str) -> None:
        self.lines.append(line)

    def tick(self, capacity: Capacity) -> None:
        self.ticks += 1


def base_job(workplace: Workplace, file: StudyFile, key: str) -> Job:
    """The job that trains the base of a study, under a key."""
    return Job(
        key=key,
        experiment=file.base,
        run_dir=workplace.folder / "runs" / key,
        cache_dir=workplace.cache,
        plugins=file.plugins,
        working_dir=Path.cwd(),
    )


def unwatched(experiment: Experiment) -> dict[str, object]:
    """An experiment's fields without the file that its witness writes to."""
    plain = experiment.to_dict()
    plain["evaluation"]["evaluators"][1]["log"] = ""
    return plain


def untimed(report: Report) -> tuple[Any, ...]:
    """What a report says but for how long it took."""
    times = {"images_per_second", "train_seconds"}
    metrics = {name: value for name, value in report.metrics.items() if name not in times}
    return report.images, metrics, report.switches, report.final, report.exposure


def free_cpus() -> float:
    """Processors of the connected cluster that nothing holds."""
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return free.get("CPU", 0.0)
