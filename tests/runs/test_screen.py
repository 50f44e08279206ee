"""What a user sees in a real terminal while runs are under way."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.terminal import Terminal

SETUP = """
import logging, sys, warnings
from curriculum_search.direction import Direction
from curriculum_search.runs.job import Status
from curriculum_search.runs.progress import Progress, Standing
from curriculum_search.runs.record import LiveRun, RunRecord
from curriculum_search.runs.result import RunResult

logging.basicConfig()  # a handler that holds on to the stream that it was made with

def run(name, images):
    record = RunRecord(key=name, seed=0, gpus=0.0, adopted=False, images=images, status=None, seconds=0.0)
    return LiveRun(record=record, name=name, total_images=1000, number=1, began=0.0, heard=0.0, images_before=0)

def end(name, value):
    live.pop(name, None)
    progress.ended(name, RunResult(status=Status.FINISHED, metrics={"fd": value}, images=1000, seconds=100.0))

live = {"trial 1: easy to hard": run("trial 1: easy to hard", 500), "trial 2: none": run("trial 2: none", 250)}
progress = Progress("search", live, objective="fd", direction=Direction.MINIMIZE)
progress.total = 6
"""
HEAD = r"search: \d of 6 runs done, \d running"


def terminal(**options: object) -> Terminal:
    return Terminal(SETUP, **options)  # type: ignore[arg-type]


@pytest.fixture
def shown() -> Iterator[Terminal]:
    """A terminal with a table in it."""
    with terminal() as it:
        it.do("stack.enter_context(progress.under_way(2))")
        yield it


def heads(lines: list[str]) -> list[int]:
    """Where the table's first lines are."""
    return [i for i, line in enumerate(lines) if re.match(HEAD, line)]


def test_events_are_lines_above_a_table_that_changes_in_place_and_is_gone_at_the_end(shown: Terminal) -> None:
    assert shown.lines() == [
        "search: 6 runs, 2 at a time",
        "search: 0 of 6 runs done, 2 running",
        "  trial 1: easy to hard  50 % ━━━━━━━━━━╺━━━━━━━━━",
        "  trial 2: none          25 % ━━━━━╺━━━━━━━━━━━━━━",
    ]
    assert shown.screen.cursor.hidden
    for _ in range(3):
        shown.do("end('trial 2: none', 3.25); progress.show(); live['trial 2: none'] = run('trial 2: none', 100)")
    lines = shown.lines()
    assert heads(lines) == [4]
    assert lines[1] == "search: trial 2: none finished at 1,000 images, 100 s, fd 3.25 (best so far)"
    assert lines[4:6] == ["search: 3 of 6 runs done, 1 running, about 2 min left", "  best so far 3.25: trial 2: none"]
    shown.do("stack.close()\nprint('the end')")
    assert shown.end() == 0
    assert shown.lines()[4:] == ["the end"]
    assert not shown.screen.cursor.hidden


def test_what_is_printed_warned_of_or_logged_does_not_tear_the_table(shown: Terminal) -> None:
    shown.do("print('a line'); print('an error', file=sys.stderr); progress.show()")
    shown.do("warnings.warn('mind this'); logging.getLogger('mine').warning('said by a logger'); progress.show()")
    shown.do("print('half a line, ', end=''); progress.show(); print('and its end'); progress.show()")
    lines = shown.lines()
    assert lines[1:6] == [
        "a line",
        "an error",
        "warning: mind this",
        "WARNING:mine:said by a logger",
        "half a line, and its end",
    ]
    assert heads(lines) == [6]
    assert len(lines) == 9


@pytest.mark.parametrize("columns", [20, 38])
def test_a_narrow_terminal_has_names_cut_and_nothing_torn(columns: int) -> None:
    with terminal(columns=columns) as narrow:
        narrow.do(
            "columns = {'arm': ['trial 11: hard to easy, 5 clusters'], 'seeds': ['4'], 'beside': ['-1.2']}\n"
            "progress.standing = Standing(columns=columns, meaning='  at every look')\n"
            "stack.enter_context(progress.under_way(2))"
        )
        for _ in range(4):
            narrow.do("progress.show()")
        lines = narrow.lines()
    text = " ".join(" ".join(lines).split())
    assert len(re.findall("0 of 6", text)) == 1
    assert sum("50 %" in line for line in lines) == sum(line.endswith("-1.2") for line in lines) == 1
    assert max(map(len, lines)) <= columns
    assert any("…" in line for line in lines)


def test_a_terminal_that_is_made_smaller_and_larger_has_one_table(shown: Terminal) -> None:
    for columns, rows in ((50, 30), (120, 12), (70, 30)):
        shown.resize(columns, rows)
        shown.do("progress.show(); print('a line'); progress.show()")
        lines = shown.lines()
        assert len(heads(lines)) == 1
        assert len(lines) - heads(lines)[0] == 3
        assert max(map(len, lines)) <= columns


def test_without_colour_the_table_is_there_in_black_and_white() -> None:
    with terminal(environment={"NO_COLOR": "1"}) as it:
        it.do("stack.enter_context(progress.under_way(2))")
        assert len(heads(it.lines())) == 1
        assert not re.search(rb"\x1b\[(3[0-9]|38;|9[0-7])[0-9;]*m", it.raw)


def test_a_terminal_that_cannot_go_back_has_the_lines_of_a_log() -> None:
    with terminal(environment={"TERM": "dumb"}) as it:
        it.do("stack.enter_context(progress.under_way(2)); end('trial 2: none', 3.25); progress.show()")
        it.do("progress.interval_seconds = 0; progress.show()")
        assert b"\x1b" not in it.raw
        assert [line[:30] for line in it.lines()[:3]] == [
            "search: 6 runs, 2 at a time",
            "search: trial 2: none finished",
            "search: 1 of 6 runs done, 1 ru",
        ]


def test_ctrl_c_leaves_the_terminal_as_it_was(shown: Terminal) -> None:
    shown.do("import time")
    modes = shown.now()
    shown.begin("time.sleep(60)")
    assert shown.interrupt() == 130
    lines = shown.lines()
    assert lines == ["search: 6 runs, 2 at a time", "", "interrupted; the same command goes on from here"]
    assert not shown.screen.cursor.hidden
    assert shown.now() == modes


def test_standard_error_in_a_file_stays_there(tmp_path: Path) -> None:
    path = tmp_path / "errors.txt"
    with terminal(stderr=path) as it:
        it.do("stack.enter_context(progress.under_way(2))")
        it.do("warnings.warn('mind this'); logging.warning('and this'); progress.show()")
        assert heads(it.lines()) == [1]
    assert path.read_text() == "warning: mind this\nWARNING:root:and this\n"


def test_an_error_is_told_below_the_lines_and_not_in_the_table(shown: Terminal) -> None:
    shown.begin("from curriculum_search.loading import UserError; raise UserError('the file is wrong')")
    assert shown.end() == 2
    lines = shown.lines()
    assert "error: the file is wrong" in lines
    assert not shown.screen.cursor.hidden


def test_what_is_being_prepared_has_a_bar() -> None:
    with terminal() as shown:
        shown.do("found = [(500, 1000, 'images decoded')]")
        shown.do("progress.preparing = lambda: found[0]")
        shown.do("stack.enter_context(progress.under_way(2))")
        assert "  500 of 1,000 images decoded ━━━━━━━━━━╺━━━━━━━━━" in shown.lines()
        shown.do("found[0] = None")
        shown.do("progress.show()")
        assert not any("decoded" in line for line in shown.lines())
