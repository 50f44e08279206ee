"""What asks a worker to leave is heard once, wherever it comes from, and what a worker says of it survives its way."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import ray
from support.workplace import wait_for

from curriculum_search.runs.notices import Stopped, ask_to_stop, forget_to_ask, listening
from curriculum_search.runs.watch import ProcessId


def test_a_worker_hears_its_driver_and_no_other(two_cpus: None) -> None:
    ours, theirs = ProcessId.own(), ProcessId(machine="another", pid=1, started="1")
    heard = threading.Event()
    with listening(ours, heard.set) as notices:
        ask_to_stop(theirs, "the command was sent SIGINT")
        assert not heard.wait(1.5)
        ask_to_stop(ours, "the command was sent SIGTERM")
        assert heard.wait(30)
        assert notices.reason == "the command was sent SIGTERM"
        notices.hear("something else")
        assert notices.reason == "the command was sent SIGTERM"
    forget_to_ask(ours)
    heard.clear()
    with listening(ours, heard.set):
        assert not heard.wait(1.5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_process_hears_its_first_signal_in_a_thread_and_then_does_what_it_did_before(
    number: signal.Signals, tmp_path: Path
) -> None:
    """In a process of its own, as Ray has them: what runs is not in the main thread, which waits for something."""
    program = f"""
import queue, signal, threading, time
from curriculum_search.runs.notices import listening
def before(number, frame):
    print("as before", flush=True)
signal.signal({int(number)}, before)
heard = threading.Event()
def work():
    with listening(None, heard.set) as notices:
        print("ready", flush=True)
        heard.wait(60)
        print(notices.reason, flush=True)
        time.sleep(1)
        print("left", flush=True)
worker = threading.Thread(target=work)
worker.start()
while worker.is_alive():
    try:
        queue.Queue().get(timeout=0.1)
    except queue.Empty:
        pass
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert not wait_for(lambda: process.poll() is not None, 0.5)  # The main thread has set the handler by now.
    os.kill(process.pid, number)
    assert process.stdout.readline() == f"its process was sent {number.name}\n"
    os.kill(process.pid, number)
    assert process.communicate(timeout=30)[0] == "as before\nleft\n"
    assert process.returncode == 0


def test_what_stopped_a_worker_survives_pickling() -> None:
    stopped = Stopped("its node is being drained", 1_600)
    again = ray.cloudpickle.loads(ray.cloudpickle.dumps(stopped))  # type: ignore[no-untyped-call]
    assert str(again) == "its node is being drained; it is saved at 1,600 images"
    assert str(Stopped("", 16)) == "it was asked to stop; it is saved at 16 images"
