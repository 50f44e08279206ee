"""The replay benchmark: its proposer is worth the name, its late winners are that, and it takes rules of one's own."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from search import had_won, late_curricula, unlocked_at
from table_tpe import TableTPE

from curriculum_search.search.replay import Proposer, RandomSearch, Table, replay
from curriculum_search.search.stopping import NoStopping

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
BESIDE = ["random search", "TPE", "TPE, the same, settled for 1/4"]


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.read(BENCHMARKS / "curves.csv.gz").of_seeds([0])


def median_to_find(table: Table, make: type[TableTPE] | type[RandomSearch]) -> float:
    found = []
    for seed in range(40):
        proposer: Proposer = make(table)
        trace = replay(table, proposer, NoStopping(), workers=4, rng=np.random.default_rng(seed))
        found.append(trace.images_to_find(0.02))
    return float(np.quantile(found, 0.5, method="inverted_cdf"))


def test_tpe_finds_the_best_sooner_than_random_search(table: Table) -> None:
    assert median_to_find(table, TableTPE) < 0.8 * median_to_find(table, RandomSearch)


def test_tpe_proposes_every_configuration_once(table: Table) -> None:
    trace = replay(table, TableTPE(table), NoStopping(), workers=4, rng=np.random.default_rng(0))
    assert sorted(trace.complete) == list(range(len(table.configs)))


def test_a_table_where_another_had_won_lacks_all_that_ended_better(table: Table) -> None:
    late = late_curricula(table)
    assert late
    for config in late:
        assert unlocked_at(table, config) > 0.3
        smaller = had_won(table, config)
        assert len(smaller.configs) == (table.truth >= table.truth[config]).sum()
        assert smaller.truth.min() == table.truth[config]
        assert smaller.configs[int(smaller.truth.argmin())] == table.configs[config]
        assert len(smaller.runs) == 2 * len(smaller.configs)  # each in full and short


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
    command = [sys.executable, str(BENCHMARKS / "search.py"), "--replicates", "16"]

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
