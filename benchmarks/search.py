"""Searches replayed on recorded learning curves: what a search rule costs, and what it throws away.

    python benchmarks/search.py [--table benchmarks/curves.csv.gz] [--replicates 400] [--workers 4]

For each rule: images spent, by all workers together and in full runs, until the best finished configuration is truly
within 2 % of the best of the table (median and quartiles over replicates; infinite where that never happens); how often
the truly best configuration was tried and given up; and how far the pick after 40 full runs' images is from the best.
"""

import argparse
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from curriculum_search.search.replay import RandomOrder, Table, TableTPE, replay
from curriculum_search.search.stopping import Forecast, NoStopping, Stopping, SuccessiveHalving

WITHIN = 0.02
BUDGET_RUNS = 40


@dataclass(frozen=True, kw_only=True)
class Rule:
    proposer: Literal["random", "tpe"] = "tpe"
    stopping: Stopping = field(default_factory=NoStopping)
    first_short: float | None = None


RULES = {
    "random search": Rule(proposer="random"),
    "TPE": Rule(),
    "TPE, ASHA (3, from 1/9)": Rule(stopping=SuccessiveHalving()),
    "TPE, ASHA (2, from 1/4)": Rule(stopping=SuccessiveHalving(eta=2, first_rung_share=0.25)),
    "TPE, ASHA (2, 1/4) if unlocked": Rule(
        stopping=SuccessiveHalving(eta=2, first_rung_share=0.25, when_unlocked=True)
    ),
    "the same, settled for 1/6": Rule(
        stopping=SuccessiveHalving(eta=2, first_rung_share=0.25, when_unlocked=True, settle_share=1 / 6)
    ),
    "TPE, short runs, best third": Rule(first_short=1 / 3),
    "TPE, forecast, chance 5 %": Rule(stopping=Forecast(chance=0.05)),
    "TPE, forecast, chance 10 %": Rule(stopping=Forecast(chance=0.1)),
    "TPE, forecast, chance 20 %": Rule(stopping=Forecast(chance=0.2)),
    "random, forecast, chance 10 %": Rule(proposer="random", stopping=Forecast(chance=0.1)),
}


def replicate(job: tuple[Table, Rule, int, range]) -> list[tuple[float, float, bool]]:
    """Of each replicate: images to find, regret at the budget, whether the best was given up; images in full runs."""
    table, rule, workers, seeds = job
    outcomes = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        proposer = RandomOrder(table) if rule.proposer == "random" else TableTPE(table)
        trace = replay(table, proposer, rule.stopping, workers=workers, rng=rng, first_short=rule.first_short)
        unit = table.total_images
        outcomes.append((trace.images_to_find(WITHIN) / unit, trace.regret(BUDGET_RUNS * unit), trace.discarded_best))
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=Path(__file__).parent / "curves.csv.gz")
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    table = Table.read(arguments.table)
    started = time.perf_counter()
    good = int((table.truth <= table.truth.min() * (1 + WITHIN)).sum())
    print(
        f"{len(table.configs)} configurations, best {table.truth.min():.4g}, median {np.median(table.truth):.4g}, "
        f"{good} within {WITHIN:.0%} of the best; {arguments.replicates} replicates, {arguments.workers} workers\n"
    )
    print(f"{'':34}{'full runs to find':>26}{'against':>9}{'best given':>12}{f'regret at {BUDGET_RUNS} runs':>26}")
    print(f"{'':34}{'median (quartiles)':>26}{'random':>9}{'up':>12}{'median (quartiles)':>26}")
    random_median = math.nan
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name, rule in RULES.items():
            parts = [range(start, arguments.replicates, 8) for start in range(8)]
            jobs = [(table, rule, arguments.workers, part) for part in parts]
            found, regrets, given_up = map(np.array, zip(*chain(*pool.map(replicate, jobs)), strict=True))
            low, median, high = np.quantile(found, [0.25, 0.5, 0.75], method="inverted_cdf")
            if name == "random search":
                random_median = median
            low_regret, regret, high_regret = np.quantile(regrets, [0.25, 0.5, 0.75], method="inverted_cdf")
            print(
                f"{name:34}{f'{median:.1f} ({low:.1f} to {high:.1f})':>26}{median / random_median:>9.2f}"
                f"{np.mean(given_up):>12.0%}{f'{regret:.1%} ({low_regret:.1%} to {high_regret:.1%})':>26}",
                flush=True,
            )
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
