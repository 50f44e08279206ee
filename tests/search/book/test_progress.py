"""What the user sees while a study runs."""

import pytest

from curriculum_search.search.book.progress import Progress
from curriculum_search.search.execution.jobs import Status


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    clock = [0.0]
    monkeypatch.setattr("curriculum_search.search.book.progress.time.monotonic", lambda: clock[0])
    return clock


def make(total: int, *, one_seed_each: bool = True) -> Progress:
    progress = Progress("search", total_images=1000, objective="fd", better=min if one_seed_each else None)
    progress.total = total
    return progress


def test_a_line_for_every_run_that_ends(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = make(4)
    progress.begin(2)
    for key in "abcd":
        progress.started(key, f"trial {key}")
    now[0] = 12.0
    progress.reported("a", 1000)
    progress.ended("a", Status.FINISHED, 3.25, "")
    progress.reported("b", 1000)
    progress.ended("b", Status.FINISHED, 4.0, "")
    progress.reported("c", 500)
    progress.ended("c", Status.STOPPED, 5.0, "")
    progress.ended("d", Status.DIVERGED, None, "the training loss is nan")
    assert capsys.readouterr().out.splitlines() == [
        "search: 4 runs, 2 at a time",
        "search: trial a finished at 1,000 images, 12 s, fd 3.25 (best so far)",
        "search: trial b finished at 1,000 images, 12 s, fd 4",
        "search: trial c stopped at 500 images, 12 s, fd 5",
        "search: trial d diverged at 0 images, 12 s: the training loss is nan",
    ]


def test_counts_best_and_time_left_every_so_often(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = make(6)
    progress.begin(2)
    progress.started("a", "trial a")
    progress.started("b", "trial b")
    now[0] = 100.0
    progress.reported("b", 500)
    progress.ended("a", Status.FINISHED, 3.25, "")
    progress.started("c", "trial c")
    capsys.readouterr()
    progress.show()
    progress.show()  # too soon
    # One run took 100 s; three are waiting and one and a half are to be done, two at a time.
    assert capsys.readouterr().out == (
        "search: 1 of 6 runs done, 2 running (trial b 50%, trial c 0%), best 3.25 (trial a), about 4 min left\n"
    )
    now[0] += 15.0
    progress.show()
    assert capsys.readouterr().out.count("\n") == 1


def test_several_seeds_of_an_arm_have_no_best(now: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = make(2, one_seed_each=False)
    progress.started("a", "no curriculum, seed 1")
    progress.ended("a", Status.FINISHED, 3.25, "")
    progress.show(force=True)
    assert "best" not in capsys.readouterr().out


def test_before_the_first_run_has_ended_no_time_is_promised(now: list[float]) -> None:
    progress = make(2)
    progress.started("a", "trial a")
    assert progress.seconds_left() is None
