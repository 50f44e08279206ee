"""Searches replayed on recorded learning curves: what a search rule costs, and what it throws away.

    python benchmarks/search.py [--table benchmarks/curves.csv.gz] [--replicates 400] [--workers 4] [--optuna 200]

A replicate searches the runs of one seed of the table.  For each rule: images spent, by all workers together and in
full runs, until the best finished configuration is within 2 % of the best on that seed (median and quartiles over
replicates; infinite where that never happens); how often the best configuration was tried and given up; and of the pick
after 40 full runs' images, how far it is from the best on that seed, and what it came to on the seeds that the search
has not seen (mean, with its standard error over replicates).

This is done on the table as it was recorded, and on tables where a late curriculum had won: for each curriculum of the
better half that unlocks the last noise levels after 30 % of its run, the table without all that ended better.  Whether
a rule is fair shows there.  --optuna N does it again with N replicates of Optuna's own TPE, which is what studies use:
on each of its proposals, the untried configuration that is most like it.

A rule of your own, beside the default and those that stop nothing; --plugin names the file that defines its kind, if it
is none of ours:

    python benchmarks/search.py --stopping '{kind: median}' --plugin median.py
"""

import argparse
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from scipy.stats import kendalltau
from table_tpe import TableTPE

from curriculum_search.entry import run_command
from curriculum_search.loading import define_plugins, parse_value, read_plugins, validated
from curriculum_search.search.optuna.samplers import TPE
from curriculum_search.search.replay import Proposer, RandomSearch, Table, replay
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

    def _unlike(self, wanted: Mapping[str, Any], config: Mapping[str, Any]) -> float:
        total = 0.0
        for path in {*wanted, *config}:
            a, b = wanted.get(path), config.get(path)
            low, high = self.ranges[path][0], self.ranges[path][-1]
            if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
                total += a != b
            elif high >= 9 * low:
                total += abs(math.log(a / b) / math.log(high / low))
            else:
                total += abs((a - b) / (high - low))
        return total


@dataclass(frozen=True, kw_only=True)
class Rule:
    proposer: Callable[[Table], Proposer] = TableTPE
    stopping: Stopping = field(default_factory=NoStopping)
    first_short: float | None = None


RULES = {
    "random search": Rule(proposer=RandomSearch),
    "TPE": Rule(),
    "TPE, ASHA as published: 3, from 1/9": Rule(
        stopping=SuccessiveHalving(eta=3, first_rung_share=1 / 9, settle_share=None)
    ),
    "TPE, ASHA: 2, from 1/4": Rule(stopping=SuccessiveHalving(settle_share=None)),
    "TPE, the same, once unlocked": Rule(stopping=SuccessiveHalving(settle_share=0.0)),
    "TPE, the same, settled for 1/6": Rule(stopping=SuccessiveHalving(settle_share=1 / 6)),
    "TPE, the same, settled for 1/4": Rule(stopping=SuccessiveHalving(settle_share=1 / 4)),
    "random search, settled for 1/4": Rule(proposer=RandomSearch, stopping=SuccessiveHalving(settle_share=1 / 4)),
    "TPE, short runs, best third in full": Rule(first_short=1 / 3),
}


#: What is replayed with Optuna's own TPE too.
WITH_OPTUNA = ["TPE", "TPE, ASHA as published: 3, from 1/9", "TPE, ASHA: 2, from 1/4", "TPE, the same, settled for 1/4"]


#: What a rule of the user's own is set beside.
BESIDE_OWN = ["random search", "TPE", "TPE, the same, settled for 1/4"]


def unlocked_at(table: Table, config: int) -> float:
    """The share of a full run's images at the first evaluation after which all noise levels were in training."""
    run = table.by_config[config][table.total_images][0]
    pairs = zip(run.images, run.unlocked, strict=True)
    return next((images for images, share in pairs if share >= 1), table.total_images) / table.total_images


def had_won(table: Table, config: int) -> Table:
    """The table without the configurations that end better than `config`: what if that had been the best?"""
    kept = [runs for runs, truth in zip(table.by_config, table.truth, strict=True) if truth >= table.truth[config]]
    return Table(tuple(run for runs in kept for same_length in runs.values() for run in same_length))


def late_curricula(table: Table) -> list[int]:
    """The curricula of the better half that unlock the last noise levels after 30 % of the run."""
    median = float(np.median(table.truth))
    return [
        config
        for config, params in enumerate(table.configs)
        if params["curriculum.order.kind"] != "none"
        and unlocked_at(table, config) > 0.3
        and table.truth[config] < median
    ]


@dataclass(frozen=True)
class World:
    """What a search sees, and of each configuration what it does not: the mean on other seeds (NaN: there are none)."""

    seen: Table
    fresh: np.ndarray


def worlds(table: Table) -> list[World]:
    """One for each seed of the table."""
    found = []
    for seed in table.seeds:
        others = [other for other in table.seeds if other != seed]
        seen, fresh = table.of_seeds([seed]), table.of_seeds(others)
        values = [
            fresh.truth[fresh.configs.index(config)] if config in fresh.configs else math.nan for config in seen.configs
        ]
        found.append(World(seen, np.array(values)))
    return found


def late_winners(world: World) -> list[World]:
    """The world as it would be had a late curriculum won, for each of them."""
    tables = [had_won(world.seen, config) for config in late_curricula(world.seen)]
    places = [[world.seen.configs.index(config) for config in table.configs] for table in tables]
    return [World(table, world.fresh[place]) for table, place in zip(tables, places, strict=True)]


def replicate(job: tuple[Sequence[World], Rule, int, range]) -> list[tuple[float, float, bool, float]]:
    """Of each replicate: full runs to find, regret at the budget, whether the best was given up, the pick elsewhere."""
    worlds, rule, workers, seeds = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    outcomes = []
    for seed in seeds:
        world = worlds[seed % len(worlds)]
        table, unit, rng = world.seen, world.seen.total_images, np.random.default_rng(seed)
        trace = replay(
            table, rule.proposer(table), rule.stopping, workers=workers, rng=rng, first_short=rule.first_short
        )
        pick = trace.pick(BUDGET_RUNS * unit)
        outcomes.append(
            (
                trace.images_to_find(WITHIN) / unit,
                trace.regret(BUDGET_RUNS * unit),
                trace.discarded_best,
                math.nan if pick is None else float(world.fresh[pick]),
            )
        )
    return outcomes


def show(
    pool: ProcessPoolExecutor, title: str, worlds: Sequence[World], rules: dict[str, Rule], workers: int, count: int
) -> None:
    print(f"{title}: {count} replicates")
    print(f"{'':46}{'full runs to find':>26}{'against':>9}{'best given':>12}{f'pick after {BUDGET_RUNS} runs':>26}")
    print(f"{'':46}{'median (quartiles)':>26}{'random':>9}{'up':>12}{'regret':>9}{'fresh seeds':>17}")
    random_median = math.nan
    for name, rule in rules.items():
        jobs = [(worlds, rule, workers, range(start, count, 8)) for start in range(8)]
        found, regrets, given_up, fresh = map(np.array, zip(*chain(*pool.map(replicate, jobs)), strict=True))
        low, median, high = np.quantile(found, [0.25, 0.5, 0.75], method="inverted_cdf")
        if rule.proposer is RandomSearch and isinstance(rule.stopping, NoStopping):
            random_median = median
        print(
            f"{name:46}{f'{median:.1f} ({low:.1f} to {high:.1f})':>26}{median / random_median:>9.2f}"
            f"{np.mean(given_up):>12.0%}{np.mean(regrets):>9.1%}"
            f"{f'{np.mean(fresh):.4f} ± {np.std(fresh) / math.sqrt(count):.4f}':>17}",
            flush=True,
        )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=Path(__file__).parent / "curves.csv.gz")
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--optuna", type=int, default=0, help="replicates of Optuna's own TPE")
    parser.add_argument("--stopping", action="append", default=[], help="a rule of your own, as in a study file")
    parser.add_argument("--plugin", action="append", default=[], help="a file that defines kinds of stopping")
    arguments = parser.parse_args()
    rules = RULES
    if arguments.stopping:
        for path in map(Path, arguments.plugin):
            define_plugins(read_plugins([path.name], "command line", path.parent, field="--plugin"))
        rules = {name: RULES[name] for name in BESIDE_OWN}
        for text in arguments.stopping:
            rules[f"TPE, {text}"] = Rule(stopping=validated(Stopping, parse_value(text), "command line", "--stopping"))
    table = Table.read(arguments.table)
    started = time.perf_counter()
    recorded = worlds(table)
    late = [winner for world in recorded for winner in late_winners(world)]
    print(f"{len(table.configs)} configurations, {arguments.workers} workers")
    for world in recorded:
        truth = world.seen.truth
        print(
            f"seed {world.seen.seeds[0]}: best {truth.min():.4g}, median {np.median(truth):.4g}, "
            f"{(truth <= truth.min() * (1 + WITHIN)).sum()} within {WITHIN:.0%} of the best"
        )
    print(_noise(recorded))
    optunas = {name.replace("TPE", "Optuna's TPE"): replace(RULES[name], proposer=OptunaTPE) for name in WITH_OPTUNA}
    settings = [(rules, arguments.replicates), ({"random search": RULES["random search"], **optunas}, arguments.optuna)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for chosen, count in settings:
            if count:
                show(pool, "As recorded", recorded, chosen, arguments.workers, count)
                show(pool, f"Had a late curriculum won ({len(late)} tables)", late, chosen, arguments.workers, count)
    print(f"{time.perf_counter() - started:.0f} s")


def _noise(recorded: Sequence[World]) -> str:
    """How far the seeds agree."""
    world = recorded[0]
    both = np.isfinite(world.fresh) & np.isfinite(world.seen.truth)
    if len(recorded) < 2 or not both.any():
        return ""
    first, others = world.seen.truth[both], world.fresh[both]
    better = first <= np.median(first)
    spread = np.std(np.log(first[better] / others[better])) / math.sqrt(1 + 1 / (len(recorded) - 1))
    tau = kendalltau(first, others).statistic
    tau_better = kendalltau(first[better], others[better]).statistic
    return (
        f"between seeds: a run's end varies by {spread:.1%} (sd, the better half); Kendall's tau of the ends "
        f"{tau:.2f}, in the better half {tau_better:.2f}\n"
    )


if __name__ == "__main__":
    run_command(main)
