"""A small share of the injected faults: they cost what they may cost, and nothing comes out wrong."""

import json
import random
from pathlib import Path

import pytest
from faults import BATCH, FAULTS, Curves, inject, new_bench, undisturbed

SHARE = ["Ctrl-C", pytest.param("truncated checkpoint", marks=pytest.mark.long)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def expected(folder: Path) -> Curves:
    return undisturbed(folder, "train")


@pytest.mark.parametrize("name", SHARE)
def test_a_fault_at_a_random_moment_changes_no_curve_and_leaves_nothing_behind(
    folder: Path, expected: Curves, name: str
) -> None:
    job, fault = FAULTS[name]
    found = inject(new_bench(folder, name, job), fault, expected, random.Random(name))
    assert (found.wrong, found.commands) == ([], 2)
    assert found.lost <= {"Ctrl-C": 0, "truncated checkpoint": 4 * 10 * BATCH}[name]


def test_a_curve_that_is_not_the_undisturbed_one_is_told(folder: Path, expected: Curves) -> None:
    bench = new_bench(folder, "forged", "train")
    (run,) = expected

    def forge(bench: object, process: object) -> None:
        pass

    other: Curves = {run: [(images, {**values, "val_loss": 0.0}) for images, values in expected[run]]}
    assert inject(bench, forge, other, random.Random(0)).wrong == ["other curves than undisturbed"]
    assert json.loads((bench.runs[0] / "result.json").read_text())["status"] == "finished"
