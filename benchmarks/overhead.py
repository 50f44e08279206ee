"""What orchestration costs: seconds per trial beyond training, ours beside plain Ray Tune.

    python benchmarks/overhead.py --trials 100
    python benchmarks/overhead.py --trials 1000        how does the time per trial grow from the 100th to the 1,000th?

Both sides run the same number of trials that do nothing but report six values, with one worker each on reused actors,
one side after the other: ours through the whole search (Optuna journal, run folders, logs, MLflow in SQLite), the peer
through ray.tune with OptunaSearch and the ASHA scheduler, its own loggers off.
"""

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("CURRICULUM_SEARCH_CACHE", str(Path(tempfile.gettempdir()) / "curriculum-search-benchmark"))

import optuna
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from curriculum_search.runs import executor
from curriculum_search.runs.cluster import Cluster
from curriculum_search.runs.mailbox import REPORT
from curriculum_search.search import driver
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.load import load_study
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.tracking import STUDY, Tracker, tracking_uri
from curriculum_search.training import Report

REPORTS = 6
STUDY_FILE = Path(__file__).parents[1] / "search_spaces" / "quickstart.yaml"


def final_value(params: dict[str, Any]) -> float:
    """A cheap objective of the quickstart's space."""
    rate: float = params["training.learning_rate"]
    return abs(rate - 4e-3) * 1e3 + {"easy_to_hard": 0.0, "none": 0.5}.get(params["curriculum.order.kind"], 1.0)


def noop_trial(config: dict[str, Any]) -> None:
    """In place of training: six reports as a trial of ours makes them."""
    plain = config["job"]["experiment"]
    params = {
        "training.learning_rate": plain["training"]["learning_rate"],
        "curriculum.order.kind": plain["curriculum"]["order"]["kind"],
    }
    total = plain["training"]["total_images"]
    for step in range(1, REPORTS + 1):
        final = step == REPORTS
        report = Report(
            images=total * step // REPORTS,
            metrics={"fd_classifier_250": final_value(params) * REPORTS / step, "unlocked_share": 1.0},
            final=final,
            exposure={"edges": [0.0, 1.0], "mass": [1.0]} if final else {},
        )
        tune.report({"images": report.images, REPORT: report.to_json()})


def ours(trials: int, folder: Path) -> list[float]:
    """Seconds since the start at the end of each trial."""
    file = load_study(STUDY_FILE, {"study.trials": trials, "study.baselines": ["no_curriculum"]})
    root = folder / "study"
    root.mkdir()
    ends: list[float] = []

    class Timed(SearchPhase):
        def ended(self, *arguments: Any) -> None:
            super().ended(*arguments)
            ends.append(time.perf_counter())

    executor.run_trial = noop_trial  # type: ignore[attr-defined]
    tracker = Tracker(root / "tracking", uri=tracking_uri(folder), study="overhead", experiment="overhead")
    tracker.check()
    with (
        Cluster(dashboard=False) as cluster,
        driver.open_store(file, root, tracker=tracker, cache_dir=folder) as store,
    ):
        cluster.capacity(file.base.resources)
        warm_up()
        started = time.perf_counter()
        tracker.start_run(STUDY, name="overhead")
        phase = Timed(file, store, Ledger(file, store), driver.open_searcher(root, file))
        phase.resume()
        phase.progress.interval_seconds = float("inf")
        driver.run_phases(iter([phase]), cluster, scratch=root / "tune")
    unsent = tracker.close(600)
    print(f"ours: MLflow had everything {time.perf_counter() - ends[-1]:.1f} s after the last trial {unsent}")
    return [end - started for end in ends]


def plain(trials: int, folder: Path) -> list[float]:
    """The same under Ray Tune alone."""
    ends: list[float] = []

    def trial(config: dict[str, Any]) -> None:
        for step in range(1, REPORTS + 1):
            tune.report({"images": step, "value": final_value(config) * REPORTS / step})

    class Timed(tune.Callback):
        def on_trial_complete(self, *arguments: Any, **named: Any) -> None:
            ends.append(time.perf_counter())

    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    space = {
        "training.learning_rate": tune.loguniform(1e-3, 1e-2),
        "curriculum.order.kind": tune.choice(["easy_to_hard", "hard_to_easy", "random", "none"]),
        "curriculum.num_clusters": tune.randint(3, 21),
        "curriculum.pacing.kind": tune.choice(["linear", "root", "exponential", "step", "plateau"]),
        "curriculum.pacing.end_share": tune.uniform(0.1, 0.8),
    }
    ray.init(logging_level=logging.ERROR, log_to_driver=False)
    warm_up()
    started = time.perf_counter()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tune.Tuner(
        tune.with_resources(trial, {"CPU": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="value",
            mode="min",
            search_alg=ConcurrencyLimiter(OptunaSearch(seed=0), max_concurrent=os.cpu_count() or 2),
            scheduler=ASHAScheduler(time_attr="images", max_t=REPORTS, grace_period=2, reduction_factor=3),
            num_samples=trials,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="plain", storage_path=str(folder), verbose=0, callbacks=[Timed()]),
    ).fit()
    ray.shutdown()
    return [end - started for end in ends]


def warm_up() -> None:
    """Start the processes that the trials run in, which is not what is measured, and import what they import."""

    @ray.remote(num_cpus=1)
    def load() -> None:
        import curriculum_search.runs.worker  # noqa: F401

    ray.get([load.remote() for _ in range(os.cpu_count() or 2)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        peer = plain(arguments.trials, Path(name))
        mine = ours(arguments.trials, Path(name))
    per_trial = {"plain Ray Tune": peer[-1] / len(peer), "this search": mine[-1] / len(mine)}
    print(f"\n{arguments.trials} trials of {REPORTS} reports")
    for who, seconds in per_trial.items():
        print(f"{who:16s} {seconds:.3f} s a trial")
    print(f"ratio            {per_trial['this search'] / per_trial['plain Ray Tune']:.2f}")
    ends = {"plain Ray Tune": peer, "this search": mine}
    marks = [mark for mark in (100, *range(250, 10**6, 250)) if mark <= min(map(len, ends.values()))]
    if not marks:
        return
    print("\nseconds a trial around the n-th (the hundred that end there)")
    print(f"{'n':16s} " + " ".join(f"{mark:>7,}" for mark in marks))
    around = {who: [seconds_at(times, mark) for mark in marks] for who, times in ends.items()}
    for who, row in around.items():
        print(f"{who:16s} " + " ".join(f"{value:7.3f}" for value in row))
    ratios = [a / b for a, b in zip(around["this search"], around["plain Ray Tune"], strict=True)]
    print(f"{'ratio':16s} " + " ".join(f"{value:7.2f}" for value in ratios))
    if len(marks) > 1:
        growth = [f"{who} {row[-1] / row[0]:.2f}" for who, row in around.items()]
        print(f"the last over the first: {', '.join(growth)}")


def seconds_at(ends: list[float], mark: int) -> float:
    """Mean seconds of the hundred trials up to the `mark`-th, from the seconds since the start at which trials ended;
    of the first hundred the second half, after the start's own cost."""
    first = max(mark - 100, 50)
    return (ends[mark - 1] - ends[first - 1]) / (mark - first)


if __name__ == "__main__":
    main()
