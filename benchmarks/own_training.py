"""What it costs to train through a function of one's own: seconds a trial, beside the native loop in the same run.

    python benchmarks/own_training.py --trials 20

Trials alternate between the native loop and a function that does the same (`same_as_native.py`), one at a time, on Ray
as a study runs them.  They end at the same numbers.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from same_as_native import EVALUATION, MODEL

from curriculum_search.curriculum import Curriculum, Linear
from curriculum_search.experiment import Experiment, FunctionTrainer, Training
from curriculum_search.runs.cluster import Cluster
from curriculum_search.runs.executor import run_jobs
from curriculum_search.runs.job import Exhausted, Job, JobSource, Outcome, Status
from curriculum_search.training import Report

NATIVE, FUNCTION = "native loop", "function"


def experiments(images: int) -> dict[str, Experiment]:
    """The same training, by who trains it."""
    native = Experiment(
        model=MODEL,
        curriculum=Curriculum(num_clusters=4, pacing=Linear(end_share=0.8)),
        training=Training(total_images=images, batch_size=16, num_evaluations=4),
        evaluation=replace(EVALUATION, grid_images=1),
    )
    metrics = dict.fromkeys(native.evaluation.metric_names(final=True), "minimize")
    path = Path(__file__).with_name("same_as_native.py")
    trainer = FunctionTrainer(
        path=str(path),
        metrics=metrics,  # type: ignore[arg-type]
        params={"learning_rate": native.training.learning_rate},
    )
    return {NATIVE: native, FUNCTION: replace(native, trainer=trainer)}


class Alternating(JobSource):
    """A source of jobs that takes the time of each, one after the other."""

    def __init__(self, folder: Path, images: int, trials: int) -> None:
        self.folder = folder
        self.waiting = [(name, seed) for seed in range(trials) for name in (NATIVE, FUNCTION)]
        self.experiments = experiments(images)
        self.began: dict[str, float] = {}
        self.seconds: dict[str, list[float]] = {NATIVE: [], FUNCTION: []}
        self.ends: dict[str, dict[str, float]] = {}

    def next(self) -> Job | Exhausted:
        if not self.waiting:
            return Exhausted.DONE
        name, seed = self.waiting.pop(0)
        key = f"{name} {seed}"
        self.began[key] = time.perf_counter()
        return Job(
            key=key,
            experiment=replace(self.experiments[name], seed=seed),
            run_dir=self.folder / key,
            cache_dir=self.folder / "cache",
            plugins={},
            working_dir=Path.cwd(),
        )

    def reported(self, job: Job, report: Report) -> bool:
        self.ends[job.key] = {name: report.metrics[name] for name in ("val_loss", "train_loss")}
        return False

    def ended(self, job: Job, outcome: Outcome) -> None:
        assert outcome.status is Status.FINISHED, outcome
        self.seconds[job.key.rpartition(" ")[0]].append(time.perf_counter() - self.began[job.key])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, help="of each kind")
    parser.add_argument("--images", type=int, default=3200, help="that a trial sees, 16 a step")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Cluster(dashboard=False) as cluster:
        source = Alternating(Path(name), arguments.images, arguments.trials)
        resources = source.experiments[NATIVE].resources
        cluster.capacity(resources)
        run_jobs(source, resources=resources, limit=1, scratch=Path(name) / "tune")
    for seed in range(arguments.trials):
        assert source.ends[f"{NATIVE} {seed}"] == source.ends[f"{FUNCTION} {seed}"], seed
    print(f"{arguments.trials} trials of {arguments.images:,} images each, one at a time, ends equal digit for digit")
    median = {name: statistics.median(seconds[1:]) for name, seconds in source.seconds.items()}  # without the start
    for name, seconds in median.items():
        print(f"{name:12s} {seconds:.3f} s a trial (median)")
    ratios = [f / n for n, f in zip(source.seconds[NATIVE][1:], source.seconds[FUNCTION][1:], strict=True)]
    low, high = statistics.quantiles(ratios, n=4)[::2]
    print(f"ratio        {statistics.median(ratios):.3f} (quartiles {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
