"""What the user sees while runs are under way."""

import threading

import pytest

from curriculum_search.direction import Direction
from curriculum_search.runs.capacity import Capacity
from curriculum_search.runs.job import Status
from curriculum_search.runs.progress import Progress, telling
from curriculum_search.runs.record import LiveRun, RunRecord
from curriculum_search.runs.result import RunResult


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    clock = [0.0]
    monkeypatch.setattr("curriculum_search.runs.progress.time.monotonic", lambda: clock[0])
    return clock


def make(total: int, live: dict[str, LiveRun] | None = None) -> Progress:
    progress = Progress("search", live or {}, objective="fd", direction=Direction.MINIMIZE)
    progress.total = total
    return progress


def running(name: str, images: int) -> LiveRun:
    record = RunRecord(key=name, seed=0, gpus=0.0, adopted=False, images=images, status=None, seconds=0.0)
    return LiveRun(record=record, name=name, total_images=1000, number=1, began=0.0, heard=0.0, images_before=0)


def result(
    status: Status, images: int, value: float | None = None, *, seconds: float = 12.0, reason: str = ""
) -> RunResult:
    metrics = {} if value is None else {"fd": value}
    return RunResult(status=status, metrics=metrics, images=images, seconds=seconds, reason=reason)


def test_a_line_for_every_run_that_ends(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = make(4)
    with progress.under_way(2):
        progress.ended("trial a", result(Status.FINISHED, 1000, 3.25))
        progress.ended("trial b", result(Status.FINISHED, 1000, 4.0))
        progress.ended("trial c", result(Status.STOPPED, 500, 5.0))
        progress.ended("trial d", result(Status.DIVERGED, 0, reason="the training loss is nan"))
    assert capsys.readouterr().out.splitlines() == [
        "search: 4 runs, 2 at a time",
        "search: trial a finished at 1,000 images, 12 s, fd 3.25 (best so far)",
        "search: trial b finished at 1,000 images, 12 s, fd 4",
        "search: trial c stopped at 500 images, 12 s, fd 5",
        "search: trial d diverged at 0 images, 12 s: the training loss is nan",
    ]


def test_counts_best_and_time_left_every_so_often(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = make(6, {"b": running("trial b", 500), "c": running("trial c", 0)})
    with progress.under_way(2):
        now[0] = 100.0
        progress.ended("trial a", result(Status.FINISHED, 1000, 3.25, seconds=100.0))
        capsys.readouterr()
        progress.show()
        now[0] = 159.0
        progress.show()  # too soon
    # One run took 100 s; three are waiting and one and a half are to be done, two at a time.
    assert capsys.readouterr().out == (
        "search: 1 of 6 runs done, 2 running (trial b 50%, trial c 0%), best 3.25 (trial a), about 4 min left\n"
    )


def test_a_run_that_the_cluster_has_no_room_for_waits(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = make(3, {"a": running("trial a", 500), "b": running("trial b", 0)})
    progress.capacity = Capacity(trials=1, slots=3, workers=2, nodes=3, cpus=3.0, gpus=0.0)
    now[0] = 100.0
    progress.show()
    progress.capacity = Capacity(trials=0, slots=1, workers=2, nodes=1, cpus=1.0, gpus=0.0)
    now[0] = 200.0
    progress.show()
    progress.capacity = Capacity(trials=1, slots=8, workers=2, nodes=1, cpus=8.0, gpus=0.0)  # of 2 to 8 workers each
    now[0] = 300.0
    progress.show()
    assert capsys.readouterr().out.splitlines() == [
        "search: 0 of 3 runs done, 1 running (trial a 50%, trial b 0%), 1 waiting: the cluster has room for 3 of 4 "
        "workers",
        "search: 0 of 3 runs done, 0 running (trial a 50%, trial b 0%), 2 waiting: the cluster has room for 1 of 4 "
        "workers",
        "search: 0 of 3 runs done, 1 running (trial a 50%, trial b 0%), 1 waiting: the cluster has room for 8 workers",
    ]


def test_more_can_be_better_and_equals_are_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("search", {}, objective="fd", direction=Direction.MAXIMIZE)
    for name, value in (("a", 1.0), ("b", 1.0), ("c", 2.0), ("d", 1.5)):
        progress.ended(name, result(Status.FINISHED, 1000, value))
    news = [line for line in capsys.readouterr().out.splitlines() if line.endswith("(best so far)")]
    assert [line.split()[1] for line in news] == ["a", "c"]
    assert progress.best == (2.0, "c")


def test_without_a_direction_no_run_is_called_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("confirmation", {}, objective="fd", direction=None)
    progress.ended("a", result(Status.FINISHED, 1000, 1.0))
    assert "best" not in capsys.readouterr().out


def test_what_is_being_prepared_is_told_until_all_is(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    found = [None, (1234, 5000, "captions encoded"), (1000, 2000, "images decoded"), None]
    progress = Progress("search", {}, objective="fd", direction=None, preparing=lambda: found[0])
    with progress.under_way(1):
        for _ in range(4):
            now[0] += 60
            progress.show()
            found.append(found.pop(0))
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.removeprefix("search: 0 of 0 runs done, 0 running") for line in lines] == [
        "",
        ", 1,234 of 5,000 captions encoded",
        ", 1,000 of 2,000 images decoded",
        "",
    ]


def test_where_there_is_no_phase_it_is_told_while_a_block_runs_and_not_twice(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = threading.Event()
    found = [(128, 500, "captions encoded"), (128, 500, "captions encoded"), (256, 500, "captions encoded"), None]

    def preparing() -> tuple[int, int, str] | None:
        if len(found) == 1:
            asked.set()
            return None
        return found.pop(0)

    with telling("data", preparing, interval_seconds=0.01):
        assert asked.wait(10)
    lines = ["data: 128 of 500 captions encoded", "data: 256 of 500 captions encoded"]
    assert capsys.readouterr().out.splitlines() == lines
