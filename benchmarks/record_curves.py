"""Record the table of learning curves that searches are replayed on: benchmarks/curves.csv.gz.

    python benchmarks/record_curves.py --configs 160 --seeds 2 --processes 2 --minutes 60

Trains random configurations of benchmarks/curves.yaml on the seeds 0, 1, ..., each in full and as a complete short run
(a quarter of the images, the pacing scaled with them), and writes one row per evaluation.  What the table has is not
trained again; what has been trained since is kept in --work, so that the same command again goes on where it was.  At
the end of each call the table gets the pairs of configuration and seed that are complete.  --first and --last cut the
list into parts for several machines.
"""

import argparse
import dataclasses
import itertools
import json
import math
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from curriculum_search.cli import cache_root
from curriculum_search.evaluation import Diverged
from curriculum_search.search.load import load_study
from curriculum_search.search.replay import RecordedRun, Table
from curriculum_search.search.space import Distribution, Float, Space
from curriculum_search.training import PlainSession, train

HERE = Path(__file__).parent
SHORT = 4  #: a short run sees one image of so many


def configurations(space: Space, count: int) -> list[dict[str, Any]]:
    """The first `count` of an endless list of independent draws: more of them leave the earlier ones as they are."""
    rng = random.Random(0)

    def draw(path: str, distribution: Distribution) -> Any:
        if not isinstance(distribution, Float):
            return rng.choice(distribution.values(1))
        if distribution.log:
            return float(f"{math.exp(rng.uniform(math.log(distribution.low), math.log(distribution.high))):.4g}")
        return float(f"{rng.uniform(distribution.low, distribution.high):.4g}")

    return [space.define(draw) for _ in range(count)]


def record(job: tuple[dict[str, Any], int, int, Path]) -> None:
    """Train one configuration, unless it has been, and write its curve."""
    params, divisor, seed, path = job
    if path.exists():
        return
    file = load_study(HERE / "curves.yaml", {})
    experiment = dataclasses.replace(file.trial(params).experiment, seed=seed)
    training = experiment.training
    experiment = dataclasses.replace(
        experiment,
        training=dataclasses.replace(
            training,
            total_images=training.total_images // divisor,
            num_evaluations=training.num_evaluations // divisor,
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        session, diverged = PlainSession(Path(folder)), ""
        try:
            train(experiment, session, cache_root())
        except Diverged as error:
            diverged = str(error)
    points = [{"images": report.images, **report.metrics} for report in session.reports]
    outcome = {"params": params, "seed": seed, "points": points, "diverged": diverged}
    path.with_suffix(".part").write_text(json.dumps(outcome))
    path.with_suffix(".part").rename(path)


def read(path: Path, total_images: int, metric: str) -> RecordedRun:
    """A recorded run; one that diverged ends with an infinite value after its last evaluation."""
    raw = json.loads(path.read_text())
    points = [(point["images"], point[metric], point["unlocked_share"]) for point in raw["points"]]
    if raw["diverged"]:
        points.append((points[-1][0] + 1 if points else 1, math.inf, 0.0))
    images, values, unlocked = zip(*points, strict=True)
    return RecordedRun(
        params=raw["params"],
        seed=raw["seed"],
        total_images=total_images,
        images=images,
        values=values,
        unlocked=unlocked,
    )


def _key(run: RecordedRun) -> tuple[str, int, int]:
    return json.dumps(run.params, sort_keys=True), run.total_images, run.seed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", type=int, default=160, help="configurations in all")
    parser.add_argument("--first", type=int, default=0, help="number of the first of this call")
    parser.add_argument("--last", type=int, help="number after the last of this call")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of each configuration")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no run after this time")
    parser.add_argument("--work", type=Path, default=Path("results/curves"), help="where single runs are kept")
    parser.add_argument("--table", type=Path, default=HERE / "curves.csv.gz")
    arguments = parser.parse_args()
    file = load_study(HERE / "curves.yaml", {})
    total, metric = file.base.training.total_images, file.study.objective
    arguments.work.mkdir(parents=True, exist_ok=True)
    params = configurations(file.space, arguments.configs)
    numbers = range(arguments.first, arguments.last or arguments.configs)
    known = {_key(run): run for run in Table.read(arguments.table).runs} if arguments.table.exists() else {}

    def path(number: int, divisor: int, seed: int) -> Path:
        return Path(arguments.work) / f"{number:04d}-{divisor}-{seed}.json"

    def result(number: int, divisor: int, seed: int) -> RecordedRun | None:
        if (found := known.get((json.dumps(params[number], sort_keys=True), total // divisor, seed))) is not None:
            return found
        file = path(number, divisor, seed)
        return read(file, total // divisor, metric) if file.exists() else None

    deadline = time.monotonic() + 60 * arguments.minutes
    left = [
        (params[number], divisor, seed, path(number, divisor, seed))
        for seed in range(arguments.seeds)
        for number in numbers
        for divisor in (1, SHORT)
        if result(number, divisor, seed) is None
    ]
    with ProcessPoolExecutor(arguments.processes) as pool:
        running: dict[Any, float] = {}
        done = 0
        while left or running:
            while left and len(running) < arguments.processes and time.monotonic() < deadline:
                running[pool.submit(record, left.pop(0))] = time.monotonic()
            if not running:
                break
            for future in [future for future in running if future.done()]:
                future.result()
                done += 1
                print(f"{done} runs, {len(left)} left, {time.monotonic() - running.pop(future):.0f} s", flush=True)
            time.sleep(0.2)
    pairs = list(itertools.product(range(arguments.configs), range(arguments.seeds)))
    found = [[result(number, divisor, seed) for divisor in (1, SHORT)] for number, seed in pairs]
    complete = [[run for run in runs if run is not None] for runs in found if None not in runs]
    new = [run for runs in complete for run in runs if _key(run) not in known]
    Table((*known.values(), *new)).write(arguments.table)
    print(f"{len(complete)} of {len(pairs)} pairs of configuration and seed are in {arguments.table}")
    sys.exit(0 if len(complete) == len(pairs) else 3)


if __name__ == "__main__":
    main()
