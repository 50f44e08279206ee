"""The handle inside a program that a study has started, and the files by which the two speak."""

import atexit
import ctypes
import importlib.util
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch

from curriculum_search.evaluation import Diverged
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.trainers.checks import TrainerError
from curriculum_search.trainers.handle import Run
from curriculum_search.trainers.view import View
from curriculum_search.training import PlainSession, Report, StatusReport, default_device

#: The environment variable by which a program finds what it is to train: a folder of the run.
VARIABLE = "CURRICULUM_SEARCH_RUN"
ASSIGNMENT, CURRICULUM, PARAMS, MESSAGES, PLUGINS = (
    *("run.json", "curriculum.json", "params.yaml", "messages.jsonl", "plugins"),
)
_PR_SET_PDEATHSIG = 1


def connect() -> Run:
    """The run that this program has been started for.

    SIGTERM from now on makes `Run.should_stop` true instead of ending the program, which ends when its study's process
    does.  Under torchrun each process calls it; torch.distributed has to be ready before the first draw.

    Raises:
        ValueError: no study has started this program.
    """
    home = os.environ.get(VARIABLE)
    if home is None:
        raise ValueError(
            f"no study has started this program, for {VARIABLE} is not set: start it by a study file with "
            "trainer: {kind: command, command: [...]}"
        )
    folder = Path(home)
    for plugin in sorted((folder / PLUGINS).glob("*.py")):
        define(plugin)
    session = ProgramSession(folder)
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGTERM, session.ask)
    run = Run(Assignment.read(folder / ASSIGNMENT), session, announce=session.announce)
    atexit.register(lambda: session.send("drawn", run.images_seen))
    _tell_what_ends_it(session)
    return run


def define(plugin: Path) -> None:
    """Run a plug-in of the study, so that its kinds are known here."""
    spec = importlib.util.spec_from_file_location(f"curriculum_search_plugin_{plugin.stem}", plugin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)


class ProgramSession(PlainSession):
    """The home of a run in a program: what it says is appended to a file, by the first of its processes."""

    def __init__(self, folder: Path) -> None:
        device = default_device()
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        super().__init__(run_dir=folder.parent, device=device)
        self._messages = folder / MESSAGES if os.environ.get("RANK", "0") == "0" else None

    def report(self, report: Report) -> None:
        """Say it."""
        self.send("report", report.to_json())

    def status(self, status: StatusReport) -> None:
        """Say it."""
        self.send("status", status.to_json())

    def remark(self, words: str) -> None:
        """Say it."""
        self.send("remark", words)

    def announce(self, known: View | int) -> None:
        """Say what is known when an evaluation is due, whose metrics may come otherwise, or how many images the run
        goes on from."""
        self.send("restored" if isinstance(known, int) else "due", known if isinstance(known, int) else known.to_json())

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Take SIGTERM."""
        self.should_stop = True

    def send(self, kind: str, value: Any) -> None:
        """Add a line in one write, so that no reader finds a part of one."""
        if self._messages is not None:
            with self._messages.open("ab", buffering=0) as file:
                file.write(json.dumps([kind, value]).encode() + b"\n")


def end_with_parent(number: int) -> None:
    """Have this process sent a signal when the thread that started it ends, where the system can (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)


def _tell_what_ends_it(session: ProgramSession) -> None:
    """Have the study told in words of an error that it knows."""
    original = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, Diverged | TrainerError):
            session.send("diverged" if isinstance(error, Diverged) else "problem", str(error))
        original(kind, error, trace)

    sys.excepthook = hook
