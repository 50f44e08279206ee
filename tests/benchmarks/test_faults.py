"""A small share of the injected faults: they cost what they may cost, and nothing comes out wrong."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from faults_parts import records
from faults_parts.bench import BATCH, Bench
from faults_parts.checks import Found, Workshop
from faults_parts.commands import Command
from faults_parts.kinds import KINDS, Kind

#: Images that each may cost at most, and the commands that it takes.
SHARE = {
    "Ctrl-C": (0, 2),
    "damaged cache": (2 * 10 * BATCH, 2),
}
LONG_SHARE = {
    "truncated checkpoint": (3 * 10 * BATCH, 2),
    "kill of a trial's worker": (2 * 10 * BATCH, 1),
    "a run that hangs": (2 * 10 * BATCH, 2),
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("faults"))


def injected(workshop: Workshop, name: str, kind: Kind) -> Found:
    with workshop.servers(kind.setting.servers) as server:
        return workshop.inject(name, kind, server, random.Random(name))


@pytest.mark.parametrize("name", [*SHARE, *(pytest.param(name, marks=pytest.mark.long) for name in LONG_SHARE)])
def test_a_fault_at_a_random_step_changes_no_curve_and_leaves_nothing_behind(workshop: Workshop, name: str) -> None:
    most_lost, commands = (SHARE | LONG_SHARE)[name]
    found = injected(workshop, name, KINDS[name])
    assert (found.wrong, found.commands) == ([], commands)
    assert found.lost <= most_lost


def end_of(bench: Bench, name: str) -> Path:
    (path,) = bench.results.glob(f"train/runs/*/{name}")
    return path


def another_value(bench: Bench) -> None:
    log = end_of(bench, "log.jsonl")
    log.write_text(log.read_text().replace('"val_loss":0', '"val_loss":1'))


def a_point_twice(bench: Bench) -> None:
    log = end_of(bench, "log.jsonl")
    log.write_text(log.read_text() + log.read_text().splitlines()[-1] + "\n")


def half_a_line(bench: Bench) -> None:
    log = end_of(bench, "log.jsonl")
    log.write_text(log.read_text() + '{"kind": "rep')


def another_run(bench: Bench) -> None:
    folder = end_of(bench, "log.jsonl").parent
    (folder.parent / "another").mkdir()
    (folder.parent / "another" / "experiment.json").write_text("{}")


def a_partial_file(bench: Bench) -> None:
    end_of(bench, "log.jsonl").with_suffix(".partial").touch()


FORGED: dict[str, tuple[Callable[[Bench], None], str]] = {
    "another value": (another_value, "another curve than undisturbed"),
    "a point twice": (a_point_twice, "another curve than undisturbed"),
    "half a line": (half_a_line, "a log with lines that cannot be read"),
    "another run": (another_run, "other runs than undisturbed"),
    "a partial file": (a_partial_file, "left ['log.partial']"),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_not_as_undisturbed_is_told(workshop: Workshop, name: str) -> None:
    forge, words = FORGED[name]

    def inject(bench: Bench, command: Command, chance: random.Random) -> None:
        assert command.wait() == 0
        forge(bench)

    found = injected(workshop, name, replace(KINDS["Ctrl-C"], inject=inject))
    assert any(wrong.startswith(words) for wrong in found.wrong), found.wrong
    assert found.lost == 0


# The tables.


def test_the_pages_have_what_was_found() -> None:
    kept = records.read_records()
    for page, table in ((records.LONG, records.table(kept)), (records.SHORT, records.short_table(kept))):
        text = page.read_text()
        assert records.replaced(text, table) == text


def test_what_was_found_is_kept_injection_by_injection_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    for lost, wrong in ((16, []), (160, ["another curve"]), (32, [])):
        records.keep("Ctrl-C", Found(lost=lost, commands=2, noticed=None, wrong=wrong), path)
    records.keep("NaN in the loss", Found(lost=0, commands=1, noticed=120, wrong=[]), path)
    kept = json.loads(path.read_text())
    assert kept["Ctrl-C"]["lost"] == [16, 160, 32]
    assert records.row("Ctrl-C", kept["Ctrl-C"]) == "| Ctrl-C | 3 | 32 (160) | 2 | **1 of 3** |"
    assert records.table(kept).splitlines()[-1] == (
        "| NaN in the loss | 1 | 0 (0) | 1 | none; noticed after 120 steps (120) |"
    )
    assert "| asked to stop, or given notice | 3 | 32 (160) | **1 of 3** |" in records.short_table(kept)
    records.forget(["Ctrl-C"], path)
    assert records.read_records(path).keys() == {"NaN in the loss"}
