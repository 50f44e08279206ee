"""Replayed searches: the table survives its file, the clock is right, and unfair rules show."""

import math
from pathlib import Path

import numpy as np
import pytest

from curriculum_search.search.replay import RandomSearch, RecordedRun, Table, replay
from curriculum_search.search.stopping import NoStopping, SuccessiveHalving

TOTAL, POINTS = 1200, 6


def run(
    params: dict[str, object], *, end: float, total: int = TOTAL, seed: int = 0, unlocked_at: float = 0.0
) -> RecordedRun:
    images = tuple(total * (i + 1) // POINTS for i in range(POINTS))
    locked = [image < unlocked_at * total for image in images]
    return RecordedRun(
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
        rate, order = float(10 ** rng.uniform(-4, -2)), str(rng.choice(["easy", "none"]))
        params: dict[str, object] = {"lr": rate, "order": order}
        end = 5 + (math.log10(rate) + 3) ** 2
        if order == "easy":
            clusters = int(rng.integers(2, 21))
            params["clusters"] = clusters
            end += 0.01 * (clusters - 10) ** 2 - 1
        unlocked_at = 0.6 if order == "easy" else 0.0
        runs.append(run(params, end=end, unlocked_at=unlocked_at))
        runs.append(run(params, end=end + 3, total=TOTAL // 4, unlocked_at=unlocked_at))
    return Table(tuple(runs))


TABLE = made()


def test_a_table_comes_back_from_its_file_and_equal_tables_give_equal_files(tmp_path: Path) -> None:
    diverged = RecordedRun(
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
    trace = replay(table, RandomSearch(table), NoStopping(), workers=1, rng=np.random.default_rng(1))
    assert trace.pick(TOTAL - 1) is None
    assert trace.regret(TOTAL - 1) == math.inf
    assert trace.pick(TOTAL) == trace.found[0][1]
    assert trace.pick() == 0


def test_without_stopping_every_configuration_costs_a_full_run() -> None:
    trace = replay(TABLE, RandomSearch(TABLE), NoStopping(), workers=4, rng=np.random.default_rng(0))
    assert trace.spent == 60 * TOTAL
    assert sorted(trace.complete) == list(range(60))
    assert trace.regret() == 0


def test_parallel_workers_spend_images_at_the_same_time() -> None:
    table = Table(tuple(run({"a": i}, end=float(i)) for i in range(1, 5)))
    alone = replay(table, RandomSearch(table), NoStopping(), workers=1, rng=np.random.default_rng(1))
    together = replay(table, RandomSearch(table), NoStopping(), workers=4, rng=np.random.default_rng(1))
    assert alone.found[0][0] == TOTAL
    assert together.found[0][0] > 3 * TOTAL
    assert alone.spent == together.spent == 4 * TOTAL


def test_a_rule_that_is_unfair_to_curricula_gives_the_best_one_up() -> None:
    unfair = SuccessiveHalving(settle_share=None)
    fair = SuccessiveHalving(settle_share=0.0)
    discarded = {
        rule: sum(
            replay(TABLE, RandomSearch(TABLE), rule, workers=3, rng=np.random.default_rng(seed)).discarded_best
            for seed in range(30)
        )
        for rule in (unfair, fair)
    }
    assert discarded[unfair] > 15
    assert discarded[fair] < 5


def test_short_runs_come_first_and_only_the_better_share_goes_on() -> None:
    trace = replay(TABLE, RandomSearch(TABLE), NoStopping(), workers=3, rng=np.random.default_rng(0), first_short=1 / 3)
    assert len(trace.complete) + len(trace.stopped) == 60
    assert 15 <= len(trace.complete) <= 35
    assert trace.spent == 60 * TOTAL // 4 + len(trace.complete) * TOTAL


def test_a_configuration_is_trained_on_one_of_its_seeds() -> None:
    table = Table(tuple(run({"a": 1}, end=float(seed), seed=seed) for seed in range(1, 4)))
    spent = {
        replay(table, RandomSearch(table), NoStopping(), workers=1, rng=np.random.default_rng(s)).spent
        for s in range(5)
    }
    assert spent == {TOTAL}
