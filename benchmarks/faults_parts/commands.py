"""Commands of the project, each in a process and a process group of its own, as a shell gives them.

They are forked from one process that has imported what commands import: that saves ten seconds each time.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_IMPORTED = [
    "curriculum_search.commands.train",
    "curriculum_search.search.driver",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "matplotlib.pyplot",
    "pyarrow.fs",
    "sklearn.datasets",
]
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # which would start a thread
_AS_NICE = "RAY_worker_niceness"  # 15 is Ray's own, with which a worker starves on a machine that is busy otherwise
os.environ[_AS_NICE] = "0"
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(_IMPORTED)


class Command:
    """A command that has been given.

    Args:
        job: its script in jobs/.
        arguments: of it.
        folder: that it is given in.
        environment: all of it.
        output: the file that takes what it prints.
    """

    def __init__(
        self, job: str, arguments: list[str], *, folder: Path, environment: Mapping[str, str], output: Path
    ) -> None:
        self._output = output
        script = str(REPOSITORY / "jobs" / f"{job}.py")
        given = ([script, *arguments], folder, dict(environment), output)
        self._process = _CONTEXT.Process(target=_run, args=given)
        self._process.start()

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text() if self._output.exists() else ""

    def status(self) -> int | None:
        """How it ended, as `subprocess` has it; None: it has not."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for its end, for so long at most; its status."""
        self._process.join(seconds)
        return self.status()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if self.status() is None:
            os.kill(self.pid, number)


def _run(argv: list[str], folder: Path, environment: Mapping[str, str], output: Path) -> None:
    os.setsid()
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = argv
    status: object = 0
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 0 if status is None else 1)
