"""Replayed searches: the table survives its file, the clock is right, and better proposers find sooner."""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from curriculum_search.search.replay import RandomOrder, Run, Table, TableTPE, replay
from curriculum_search.search.stopping import NoStopping, SuccessiveHalving

REPOSITORY = Path(__file__).parents[2]
BESIDE = ["random search", "TPE", "TPE, the same, settled for 1/4"]
TOTAL, POINTS = 1200, 6


def run(params: dict[str, object], *, end: float, total: int = TOTAL, seed: int = 0, unlocked_at: float = 0.0) -> Run:
    images = tuple(total * (i + 1) // POINTS for i in range(POINTS))
    locked = [image < unlocked_at * total for image in images]
    return Run(
        params=params,
        seed=seed,
        total_images=total,
        images=images,
        values=tuple(end + (50.0 if shut else 20 * (1 - i / total)) for i, shut in zip(images, locked, strict=True)),
        unlocked=tuple(0.5 if shut else 1.0 for shut in locked),
    )


def made(count: int = 60) -> Table:
    """Ends at a valley in two numbers; the curriculum is best, and unlocks everything at 60 % of the images."""
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(count):
        params: dict[str, object] = {"lr": float(10 ** rng.uniform(-4, -2)), "order": str(rng.choice(["easy", "none"]))}
        end = 5 + (math.log10(float(params["lr"])) + 3) ** 2  # type: ignore[arg-type]
        if params["order"] == "easy":
            params["clusters"] = int(rng.integers(2, 21))
            end += 0.01 * (params["clusters"] - 10) ** 2 - 1  # type: ignore[operator]
        unlocked_at = 0.6 if params["order"] == "easy" else 0.0
        runs.append(run(params, end=end, unlocked_at=unlocked_at))
        runs.append(run(params, end=end + 3, total=TOTAL // 4, unlocked_at=unlocked_at))
    return Table(tuple(runs))


TABLE = made()


def median_to_find(make: type, **options: object) -> float:
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        trace = replay(TABLE, make(TABLE), options.get("rule", NoStopping()), workers=3, rng=rng)  # type: ignore[arg-type]
        found.append(trace.images_to_find(0.02))
    return float(np.quantile(found, 0.5, method="inverted_cdf"))


def test_a_table_comes_back_from_its_file_and_equal_tables_give_equal_files(tmp_path: Path) -> None:
    diverged = Run(
        params={"lr": 1e-3, "order": "none", "flag": True, "name": "3"},
        seed=1,
        total_images=TOTAL,
        images=(200, 201),
        values=(9.0, math.inf),
        unlocked=(1.0, 0.0),
    )
    table = Table((*TABLE.runs[:4], diverged))
    table.write(tmp_path / "a.csv.gz")
    again = Table.read(tmp_path / "a.csv.gz")
    assert again.configs == table.configs
    assert [r.images for r in again.runs] == [r.images for r in table.runs]
    assert again.runs[-1] == diverged
    assert again.runs[-1].final == math.inf
    assert again.runs[0].values == pytest.approx(table.runs[0].values, rel=1e-5)
    again.write(tmp_path / "b.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


def test_the_truth_is_the_mean_over_seeds_of_full_runs() -> None:
    table = Table((run({"a": 1}, end=2.0), run({"a": 1}, end=4.0, seed=1), run({"a": 1}, end=9.0, total=TOTAL // 4)))
    assert table.truth.tolist() == [3.0]


def test_a_table_can_be_cut_to_some_of_its_seeds() -> None:
    table = Table(tuple(run({"a": a}, end=a + 10.0 * seed, seed=seed) for seed in (0, 3) for a in (1, 2)))
    assert table.seeds == [0, 3]
    assert table.of_seeds([3]).truth.tolist() == [31.0, 32.0]
    assert table.of_seeds([0, 3]) == table


def test_the_pick_is_the_best_that_has_finished_by_then() -> None:
    table = Table(tuple(run({"a": i}, end=float(i)) for i in range(1, 5)))
    trace = replay(table, RandomOrder(table), NoStopping(), workers=1, rng=np.random.default_rng(1))
    assert trace.pick(TOTAL - 1) is None
    assert trace.regret(TOTAL - 1) == math.inf
    assert trace.pick(TOTAL) == trace.found[0][1]
    assert trace.pick() == 0


def test_without_stopping_every_configuration_costs_a_full_run() -> None:
    trace = replay(TABLE, RandomOrder(TABLE), NoStopping(), workers=4, rng=np.random.default_rng(0))
    assert trace.spent == 60 * TOTAL
    assert sorted(trace.complete) == list(range(60))
    assert trace.regret() == 0


def test_parallel_workers_spend_images_at_the_same_time() -> None:
    table = Table(tuple(run({"a": i}, end=float(i)) for i in range(1, 5)))
    alone = replay(table, RandomOrder(table), NoStopping(), workers=1, rng=np.random.default_rng(1))
    together = replay(table, RandomOrder(table), NoStopping(), workers=4, rng=np.random.default_rng(1))
    assert alone.found[0][0] == TOTAL
    assert together.found[0][0] > 3 * TOTAL
    assert alone.spent == together.spent == 4 * TOTAL


def test_the_budget_is_kept_but_for_the_trials_under_way() -> None:
    trace = replay(
        TABLE, RandomOrder(TABLE), NoStopping(), workers=2, rng=np.random.default_rng(0), max_images=10 * TOTAL
    )
    assert 10 * TOTAL <= trace.spent < 12 * TOTAL


def test_tpe_finds_the_best_sooner_than_random_search() -> None:
    assert median_to_find(TableTPE) < 0.8 * median_to_find(RandomOrder)


def test_a_rule_that_is_unfair_to_curricula_gives_the_best_one_up() -> None:
    unfair = SuccessiveHalving(settle_share=None)
    fair = SuccessiveHalving(settle_share=0.0)
    discarded = {
        rule: sum(
            replay(TABLE, RandomOrder(TABLE), rule, workers=3, rng=np.random.default_rng(seed)).discarded_best
            for seed in range(30)
        )
        for rule in (unfair, fair)
    }
    assert discarded[unfair] > 15
    assert discarded[fair] < 5


def test_short_runs_come_first_and_only_the_better_share_goes_on() -> None:
    trace = replay(TABLE, RandomOrder(TABLE), NoStopping(), workers=3, rng=np.random.default_rng(0), first_short=1 / 3)
    assert len(trace.complete) + len(trace.stopped) == 60
    assert 15 <= len(trace.complete) <= 35
    assert trace.spent == 60 * TOTAL // 4 + len(trace.complete) * TOTAL


def test_a_configuration_is_trained_on_one_of_its_seeds() -> None:
    table = Table(tuple(run({"a": 1}, end=float(seed), seed=seed) for seed in range(1, 4)))
    spent = {
        replay(table, RandomOrder(table), NoStopping(), workers=1, rng=np.random.default_rng(s)).spent for s in range(5)
    }
    assert spent == {TOTAL}


def test_a_table_where_another_had_won_lacks_all_that_ended_better() -> None:
    late = min((c for c in range(60) if TABLE.unlocked_at(c) > 0.5), key=TABLE.truth.__getitem__)
    second = int(np.argsort(TABLE.truth)[5])
    assert TABLE.unlocked_at(late) == pytest.approx(4 / 6)
    assert TABLE.had_won(late).truth.min() == TABLE.truth[late]
    smaller = TABLE.had_won(second)
    assert len(smaller.configs) == 55
    assert smaller.truth.min() == TABLE.truth[second]
    assert len(smaller.runs) == 2 * 55


MEDIAN = """
import statistics
from dataclasses import dataclass
from typing import Literal

from curriculum_search.search.stopping import Stopper, Stopping


@dataclass(frozen=True, kw_only=True)
class Median(Stopping):
    kind: Literal["median"] = "median"

    def build(self, total_images: int) -> Stopper:
        return MedianStopper(total_images)


class MedianStopper(Stopper):
    def should_stop(self, trial):
        point = self.curves[trial][-1]
        others = [p.value for curve in self.curves.values() for p in curve if p.images == point.images]
        return point.value > statistics.median(others)
"""


def test_a_rule_of_ones_own_is_replayed_beside_the_others_on_the_recorded_curves(tmp_path: Path) -> None:
    (tmp_path / "median.py").write_text(MEDIAN)
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "search.py"), "--replicates", "16"]

    def run_on(stopping: str) -> subprocess.CompletedProcess[str]:
        options = ["--plugin", "median.py", "--stopping", stopping]
        return subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)

    ended = run_on("{kind: median}")
    assert ended.returncode == 0, ended.stderr
    rows = [re.split(r"\s{2,}", line) for line in ended.stdout.splitlines() if line.startswith(("random", "TPE"))]
    assert [row[0] for row in rows] == [*BESIDE, "TPE, {kind: median}"] * 2
    given_up = {row[0]: int(row[3].rstrip("%")) for row in rows[len(rows) // 2 :]}  # had a late curriculum won
    assert given_up["TPE, {kind: median}"] > 20
    assert all(given_up[name] <= 10 for name in BESIDE)

    refused = run_on("{kind: media}")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: command line: --stopping.kind: 'media' is unknown (did you mean median?)")
