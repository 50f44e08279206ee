"""How long a trial of several workers waits for its first step: on a new group of workers, on one that is there, and
beside a TorchTrainer.fit() of its own.

    python benchmarks/warm_groups.py
    python benchmarks/warm_groups.py --trials 20 --workers 2

Trials of the default experiment run one after the other; each is timed from when it is handed out to when the driver
hears of its first step.  Then, on the same cluster, a `TorchTrainer.fit()` of Ray Train is given the same run and as
many workers, which report each step to it, and is timed from its construction to when its controller has the first
report; so is a second one.  What a later step of the trials takes is taken off each, for it is the network's, and long
on a CPU.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch

from curriculum_search.evaluation import Evaluation, ValidationLoss
from curriculum_search.experiment import Cadence, Experiment, Resources, Training
from curriculum_search.runs.cluster import Cluster
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, Status
from curriculum_search.training import PlainSession, Report, StatusReport, train

EXPERIMENT = Experiment(
    training=Training(total_images=640, batch_size=64, num_evaluations=1),
    cadence=Cadence(status_images=64),
    evaluation=Evaluation(  # after the first step, and so not what is timed
        evaluators=(ValidationLoss(num_images=8, num_levels=10, num_intervals=5),), final_evaluators=(), grid_images=1
    ),
)


class Timed(JobSource):
    """Hands out trials, one at a time, and keeps the seconds from then to each of their steps."""

    def __init__(self, experiment: Experiment, folder: Path, trials: int) -> None:
        self.experiment, self.folder = experiment, folder
        self.waiting = list(range(trials))
        self.began = 0.0
        self.seconds: dict[str, list[float]] = {}

    def next(self) -> Job | Exhausted:
        if not self.waiting:
            return Exhausted.DONE
        seed = self.waiting.pop(0)
        self.began = time.perf_counter()
        return Job(
            key=str(seed),
            experiment=replace(self.experiment, seed=seed),
            run_dir=self.folder / "runs" / str(seed),
            cache_dir=self.folder / "cache",
            plugins={},
            working_dir=Path.cwd(),
        )

    def progressed(self, job: Job, status: StatusReport) -> None:
        self.seconds.setdefault(job.key, []).append(time.perf_counter() - self.began)

    def reported(self, job: Job, report: Report) -> bool:
        return False

    def ended(self, job: Job, outcome: Outcome) -> None:
        assert outcome.status is Status.FINISHED, outcome


class Said(PlainSession):
    """A session that says each step to Ray Train."""

    def status(self, status: StatusReport) -> None:
        ray.train.report({"images": status.images})


def train_and_report(config: dict[str, Any]) -> None:
    """In each worker of Ray Train's: the same run, which says each step to it."""
    train(config["experiment"], Said(run_dir=config["folder"]), config["folder"] / "cache")


class FirstReport(ray.train.UserCallback):
    """Writes down when the first report has come."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
        if not self.path.exists():
            self.path.write_text(str(time.time()))


def fit(experiment: Experiment, resources: Resources, folder: Path) -> float:
    """Seconds to the first step of a group of Ray Train's own."""
    began, heard = time.time(), folder / "heard"
    ray.train.torch.TorchTrainer(
        train_and_report,
        train_loop_config={"experiment": experiment, "folder": folder},
        scaling_config=ray.train.ScalingConfig(
            num_workers=resources.most_workers, resources_per_worker={"CPU": resources.cpus_per_worker}
        ),
        run_config=ray.train.RunConfig(
            name="fit",
            storage_path=str(folder),
            callbacks=[FirstReport(heard)],  # type: ignore[list-item]  # of the older interface
        ),
    ).fit()
    return float(heard.read_text()) - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    resources = Resources(workers=arguments.workers)
    experiment = replace(EXPERIMENT, resources=resources)
    with tempfile.TemporaryDirectory() as name, Cluster(dashboard=False) as cluster:
        folder = Path(name)
        cluster.capacity(resources)
        source = Timed(experiment, folder, arguments.trials)
        run_jobs(source, resources=resources, limit=1, scratch=folder / "tune", groups=cluster.groups)
        cluster.groups.close()
        os.environ["RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"] = "0.05"  # or the report would wait for up to 2 s
        fits = []
        for i in range(2):
            (folder / str(i)).mkdir()
            fits.append(fit(experiment, resources, folder / str(i)))
    step = statistics.median(after - before for times in source.seconds.values() for before, after in pairwise(times))
    first, *following = (times[0] - step for times in source.seconds.values())
    low, median, high = statistics.quantiles(following, n=4)
    print(
        f"{arguments.workers} workers; seconds from a trial's start to its first step, which takes another {step:.2f}"
    )
    print(f"first trial of a group     {first:6.2f}")
    print(f"following trials, median   {median:6.2f} (quartiles {low:.2f} to {high:.2f}, {len(following)} trials)")
    print(f"TorchTrainer.fit()         {fits[0] - step:6.2f}, a second one {fits[1] - step:.2f}")


if __name__ == "__main__":
    main()
