"""Searches replayed on recorded learning curves: what a search rule costs, and what it throws away.

    python benchmarks/search.py [--table benchmarks/curves.csv.gz] [--replicates 400] [--workers 4]

For each rule: images spent, by all workers together and in full runs, until the best finished configuration is truly
within 2 % of the best of the table (median and quartiles over replicates; infinite where that never happens); how often
the truly best configuration was tried and given up; and how far the pick after 40 full runs' images is from the best.

This is done on the table as it was recorded, and on tables where a late curriculum had won: for each curriculum of the
better half that unlocks the last noise levels after 30 % of its run, the table without all that ended better.  Whether
a rule is fair shows there.  --optuna N sets N replicates of Optuna's own TPE beside the table's, on each
proposal the untried configuration that is most like it.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import optuna

from curriculum_search.search.replay import Proposer, RandomOrder, Table, TableTPE, replay
from curriculum_search.search.sampling.samplers import TPE
from curriculum_search.search.stopping import NoStopping, Stopping, SuccessiveHalving

WITHIN = 0.02
BUDGET_RUNS = 40


class OptunaTPE:
    """Optuna's sampler as studies use it; its proposals are replaced by the most similar configuration that is left."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.left = set(range(len(table.configs)))
        self.numbers: dict[int, int] = {}
        paths = sorted({path for config in table.configs for path in config})
        self.ranges = {path: sorted({c[path] for c in table.configs if path in c}) for path in paths}
        self.study: optuna.Study | None = None

    def propose(self, rng: np.random.Generator) -> int | None:
        if not self.left:
            return None
        if self.study is None:
            self.study = optuna.create_study(sampler=TPE().build(int(rng.integers(2**31))))
        trial = self.study.ask()
        wanted = {path: self._suggest(trial, path) for path in self.ranges if "." not in path or self._always(path)}
        if wanted["curriculum.order.kind"] != "none":
            wanted |= {path: self._suggest(trial, path) for path in self.ranges if path not in wanted}
        choice = min(self.left, key=lambda config: self._unlike(wanted, self.table.configs[config]))
        self.left.remove(choice)
        # Optuna is told of what is trained, not of what it asked for.
        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        self.study.enqueue_trial(dict(self.table.configs[choice]))
        trial = self.study.ask()
        for path in self.table.configs[choice]:
            self._suggest(trial, path)
        self.numbers[choice] = trial.number
        return choice

    def tell(self, config: int, value: float | None) -> None:
        assert self.study is not None
        good = value is not None and math.isfinite(value)
        state = optuna.trial.TrialState.COMPLETE if good else optuna.trial.TrialState.PRUNED
        self.study.tell(self.numbers[config], value if good else None, state=state)

    def _always(self, path: str) -> bool:
        return all(path in config for config in self.table.configs)

    def _suggest(self, trial: optuna.Trial, path: str) -> object:
        values = self.ranges[path]
        if isinstance(values[0], str):
            return trial.suggest_categorical(path, values)
        if isinstance(values[0], int):
            return trial.suggest_int(path, values[0], values[-1])
        return trial.suggest_float(path, values[0], values[-1], log=values[-1] >= 9 * values[0])

    def _unlike(self, wanted: dict[str, object], config: object) -> float:
        total = 0.0
        for path in set(wanted) | set(config):  # type: ignore[call-overload]
            a, b = wanted.get(path), config.get(path)  # type: ignore[attr-defined]
            low, high = self.ranges[path][0], self.ranges[path][-1]
            if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
                total += a != b
            elif high >= 9 * low:
                total += abs(math.log(a / b) / math.log(high / low))  # type: ignore[operator]
            else:
                total += abs((a - b) / (high - low))  # type: ignore[operator]
        return total


@dataclass(frozen=True, kw_only=True)
class Rule:
    proposer: Callable[[Table], Proposer] = TableTPE
    stopping: Stopping = field(default_factory=NoStopping)
    first_short: float | None = None


RULES = {
    "random search": Rule(proposer=RandomOrder),
    "TPE": Rule(),
    "TPE, ASHA as published: 3, from 1/9": Rule(
        stopping=SuccessiveHalving(eta=3, first_rung_share=1 / 9, settle_share=None)
    ),
    "TPE, ASHA: 2, from 1/4": Rule(stopping=SuccessiveHalving(settle_share=None)),
    "TPE, the same, once unlocked": Rule(stopping=SuccessiveHalving(settle_share=0.0)),
    "TPE, the same, settled for 1/6": Rule(stopping=SuccessiveHalving(settle_share=1 / 6)),
    "TPE, the same, settled for 1/4": Rule(stopping=SuccessiveHalving(settle_share=1 / 4)),
    "random search, settled for 1/4": Rule(proposer=RandomOrder, stopping=SuccessiveHalving(settle_share=1 / 4)),
    "TPE, short runs, best third in full": Rule(first_short=1 / 3),
}


def late_curricula(table: Table) -> list[int]:
    """The curricula of the better half that unlock the last noise levels after 30 % of the run."""
    median = float(np.median(table.truth))
    return [
        config
        for config, params in enumerate(table.configs)
        if params["curriculum.order.kind"] != "none"
        and table.unlocked_at(config) > 0.3
        and table.truth[config] < median
    ]


def replicate(job: tuple[Sequence[Table], Rule, int, range]) -> list[tuple[float, float, bool]]:
    """Of each replicate: images to find, regret at the budget, whether the best was given up; images in full runs."""
    tables, rule, workers, seeds = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    outcomes = []
    for seed in seeds:
        table = tables[seed % len(tables)]
        rng = np.random.default_rng(seed)
        trace = replay(
            table, rule.proposer(table), rule.stopping, workers=workers, rng=rng, first_short=rule.first_short
        )
        unit = table.total_images
        outcomes.append((trace.images_to_find(WITHIN) / unit, trace.regret(BUDGET_RUNS * unit), trace.discarded_best))
    return outcomes


def show(pool: ProcessPoolExecutor, tables: Sequence[Table], rules: dict[str, Rule], workers: int, count: int) -> None:
    print(f"{'':36}{'full runs to find':>26}{'against':>9}{'best given':>12}{f'regret at {BUDGET_RUNS} runs':>26}")
    print(f"{'':36}{'median (quartiles)':>26}{'random':>9}{'up':>12}{'median (quartiles), mean':>26}")
    random_median = math.nan
    for name, rule in rules.items():
        jobs = [(tables, rule, workers, range(start, count, 8)) for start in range(8)]
        found, regrets, given_up = map(np.array, zip(*chain(*pool.map(replicate, jobs)), strict=True))
        low, median, high = np.quantile(found, [0.25, 0.5, 0.75], method="inverted_cdf")
        if name == "random search":
            random_median = median
        low_regret, regret, high_regret = np.quantile(regrets, [0.25, 0.5, 0.75], method="inverted_cdf")
        print(
            f"{name:36}{f'{median:.1f} ({low:.1f} to {high:.1f})':>26}{median / random_median:>9.2f}"
            f"{np.mean(given_up):>12.0%}"
            f"{f'{regret:.1%} ({low_regret:.1%} to {high_regret:.1%}), {np.mean(regrets):.1%}':>26}",
            flush=True,
        )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=Path(__file__).parent / "curves.csv.gz")
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--optuna", type=int, default=0, help="replicates of Optuna's own TPE")
    arguments = parser.parse_args()
    table = Table.read(arguments.table)
    started = time.perf_counter()
    good = int((table.truth <= table.truth.min() * (1 + WITHIN)).sum())
    late = [table.had_won(config) for config in late_curricula(table)]
    print(
        f"{len(table.configs)} configurations, best {table.truth.min():.4g}, median {np.median(table.truth):.4g}, "
        f"{good} within {WITHIN:.0%} of the best; {arguments.replicates} replicates, {arguments.workers} workers\n"
    )
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        print("As recorded")
        show(pool, [table], RULES, arguments.workers, arguments.replicates)
        print(f"Had a late curriculum won ({len(late)} tables)")
        show(pool, late, RULES, arguments.workers, arguments.replicates)
        if arguments.optuna:
            print(f"Optuna's own TPE, as recorded, {arguments.optuna} replicates")
            own = {"random search": RULES["random search"], "TPE": RULES["TPE"], "Optuna's": Rule(proposer=OptunaTPE)}
            show(pool, [table], own, arguments.workers, arguments.optuna)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
