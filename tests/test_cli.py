"""How commands end, and where results go."""

import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curriculum_search.cli import cache_root, results_root, run_command
from curriculum_search.loading import UserError

INTERRUPTED = "\ninterrupted; the same command goes on from here\n"


@pytest.fixture(autouse=True)
def _own_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def raising(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def signalling(number: int) -> Callable[[], None]:
    def main() -> None:
        os.kill(os.getpid(), number)

    return main


@pytest.mark.parametrize(
    ("main", "status", "err"),
    [
        (
            raising(UserError("x.yaml: seed: must be a whole number")),
            2,
            "error: x.yaml: seed: must be a whole number\n",
        ),
        (raising(KeyboardInterrupt()), 130, INTERRUPTED),
        (signalling(signal.SIGINT), 130, INTERRUPTED),
        (signalling(signal.SIGTERM), 130, INTERRUPTED),
    ],
)
def test_a_command_ends_with_one_message_and_its_status(
    main: Callable[[], None], status: int, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        run_command(main)
    assert end.value.code == status
    assert capsys.readouterr() == ("", err)


def test_a_command_that_is_done_ends_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(lambda: print("done"))
    assert capsys.readouterr() == ("done\n", "")


def test_what_nobody_foresaw_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="unforeseen"):
        run_command(raising(RuntimeError("unforeseen")))


def test_a_warning_is_one_line() -> None:
    run_command(lambda: None)
    assert warnings.formatwarning("too few samples", UserWarning, "x.py", 3) == "warning: too few samples\n"


def test_results_go_where_they_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CURRICULUM_SEARCH_RESULTS", raising=False)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert results_root(None) == tmp_path / "results"
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")  # a submitted job's folder is new every time
    assert results_root(None) == tmp_path / "home" / "curriculum-search-results"
    monkeypatch.setenv("CURRICULUM_SEARCH_RESULTS", "~/shared")
    assert results_root(None) == tmp_path / "home" / "shared"
    assert results_root("mine") == tmp_path / "mine"


def test_the_cache_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CURRICULUM_SEARCH_CACHE", raising=False)
    assert cache_root() == tmp_path / ".cache" / "curriculum-search"
    monkeypatch.setenv("CURRICULUM_SEARCH_CACHE", str(tmp_path / "elsewhere"))
    assert cache_root() == tmp_path / "elsewhere"
