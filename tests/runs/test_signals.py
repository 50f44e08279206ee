"""A first signal asks, a second one or the end of the time interrupts, and what was there before comes back."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from curriculum_search.runs import signals
from curriculum_search.runs.signals import patience_seconds, stop_signals


@pytest.fixture(autouse=True)
def handlers_are_as_before() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_first_signal_asks_and_a_second_one_interrupts(number: signal.Signals) -> None:
    asked: list[str] = []
    with stop_signals(asked.append):
        os.kill(os.getpid(), number)
        assert asked == [number.name]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert asked == [number.name]


def test_what_does_not_end_in_time_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(signals._PATIENCE, signal.SIGTERM, 0.05)
    with stop_signals(lambda asked: None):
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(30)


def test_a_block_that_ends_in_time_is_not_interrupted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(signals._PATIENCE, signal.SIGTERM, 0.2)
    with stop_signals(lambda asked: None):
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.4)


def test_a_job_of_ray_ends_before_ray_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = patience_seconds(signal.SIGTERM)
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert patience_seconds(signal.SIGTERM) == 1.5 < alone
    monkeypatch.setenv("RAY_JOB_STOP_WAIT_TIME_S", "60")
    assert patience_seconds(signal.SIGTERM) == 30.0
    assert patience_seconds(signal.SIGUSR1) == 300.0


def test_outside_the_main_thread_nothing_changes() -> None:
    entered: list[bool] = []

    def other() -> None:
        with stop_signals(lambda asked: None):
            entered.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert entered == [True]
