"""A study in miniature, and the commands as a user types them."""

import contextlib
import io
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from curriculum_search.loading import parse_overrides
from curriculum_search.search.load import load_study
from curriculum_search.search.study import StudyFile

REPOSITORY = Path(__file__).parents[2]
_MARK = "CURRICULUM_SEARCH_TEST_COMMAND"

STUDY = """
study:
  name: tiny
  objective: val_loss
  trials: 3
  stopping: {kind: none}
  baselines: [no_curriculum, published]
  confirmation: {min_seeds: 2, max_seeds: 2}
base:
  plugins: [witness.py]
  data: {kind: digits}
  model: {kind: dit, patch_size: 4, hidden_size: 16, depth: 1, num_heads: 2}
  training: {total_images: 320, batch_size: 16, num_evaluations: 4}
  evaluation:
    evaluators: [{kind: val_loss, num_images: 8, num_levels: 10, num_intervals: 5}, {kind: witness}]
    final_evaluators: [{kind: frechet, extractor: {kind: pixels, num_components: 4}, num_samples: 24}]
    sampler: {kind: ddim, num_steps: 2}
    batch_size: 8
    grid_images: 4
space:
  training.learning_rate: {kind: float, low: 5e-4, high: 5e-3, log: true}
  curriculum.order.kind: {kind: categorical, choices: [easy_to_hard, none]}
  curriculum.num_clusters: {kind: int, low: 2, high: 4, when: {curriculum.order.kind: easy_to_hard}}
"""

#: A plug-in: an evaluator that writes down where it evaluates, and can be held up, killed, and made to fail.
WITNESS = '''
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curriculum_search.evaluation import Evaluator


@dataclass(frozen=True, kw_only=True)
class Witness(Evaluator):
    """Appends a line (process, Ray node) to `log` at every evaluation.

    Where a file ``log + ".hold"`` exists, only as many evaluations as its number says come to their end.  Where a file
    ``log + ".raise"`` exists, it raises; where ``log + ".kill"`` exists, its process dies, once.
    """

    kind: Literal["witness"] = "witness"
    log: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return ("witnessed",)

    def evaluate(self, evidence):
        if self.log:
            import ray

            node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else "none"
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()} {node}\\n")
            if Path(self.log + ".raise").exists():
                raise RuntimeError("broken on purpose")
            if Path(self.log + ".kill").exists():
                Path(self.log + ".kill").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            while Path(self.log + ".hold").exists() and self._is_held():
                time.sleep(0.05)
        yield "witnessed", 1.0

    def _is_held(self):
        return len(Path(self.log).read_text().splitlines()) > int(Path(self.log + ".hold").read_text() or 0)
'''


@dataclass
class Workplace:
    """A folder with a study file and results, and the commands that work on them.

    A command runs either as a process of its own, or, much faster, in this one, by the same script.
    """

    folder: Path
    cache: Path
    database: Path
    address: str = ""  #: of their results in a bucket, if they are to be there
    tracking_uri: str = ""  #: where commands are told to track; a file in the results, if nowhere
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.results.mkdir(parents=True)
        shutil.copy(self.database, self.results / "mlflow.db")  # Setting one up takes seconds.
        self.study.write_text(STUDY)
        (self.folder / "witness.py").write_text(WITNESS)

    @property
    def study(self) -> Path:
        return self.folder / "study.yaml"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def store(self) -> str:
        """Where commands track unless they are told otherwise."""
        return f"sqlite:///{self.results / 'mlflow.db'}"

    @property
    def log(self) -> Path:
        """What the witness has seen."""
        return self.folder / "witness.log"

    def witnessed(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def hold_after(self, evaluations: int | None) -> None:
        """Let the witness pass that many evaluations and hold the next up; None: let all pass."""
        hold = Path(f"{self.log}.hold")
        if evaluations is None:
            hold.unlink()
        else:
            hold.write_text(str(evaluations))

    def watched(self) -> str:
        """The override that makes every evaluation leave a line."""
        return (
            "base.evaluation.evaluators=[{kind: val_loss, num_images: 8, num_levels: 10, num_intervals: 5}, "
            f"{{kind: witness, log: '{self.log}'}}]"
        )

    @property
    def environment(self) -> dict[str, str]:
        """What a process of this workplace needs to be told."""
        tracking = {"MLFLOW_TRACKING_URI": self.tracking_uri}
        return {"CURRICULUM_SEARCH_CACHE": str(self.cache), _MARK: self.mark, **tracking}

    def load(self, *overrides: str) -> StudyFile:
        return load_study(self.study, parse_overrides(overrides))

    def start(self, script: str, *arguments: object) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, as a shell does, on a Ray of its own."""
        process = subprocess.Popen(
            [sys.executable, f"jobs/{script}.py", *map(str, arguments), "--results", self.address or str(self.results)],
            cwd=REPOSITORY,
            env={**os.environ, **self.environment, "RAY_ADDRESS": "local"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def call(self, script: str, *arguments: object) -> tuple[int, str, str]:
        """Run a command in this process, and give its exit status, output and errors, without what it says of its
        plug-ins."""
        out, err = io.StringIO(), io.StringIO()
        argv, handler = sys.argv, signal.getsignal(signal.SIGTERM)
        sys.argv = [f"{script}.py", *map(str, arguments), "--results", self.address or str(self.results)]
        status: object = 0
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
                warnings.catch_warnings(),
                pytest.MonkeyPatch.context() as patch,
            ):
                patch.setattr(warnings, "formatwarning", warnings.formatwarning)
                patch.setenv("CURRICULUM_SEARCH_CACHE", str(self.cache))
                patch.setenv("MLFLOW_TRACKING_URI", self.tracking_uri)
                runpy.run_path(str(REPOSITORY / "jobs" / f"{script}.py"), run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
        finally:
            sys.argv = argv
            signal.signal(signal.SIGTERM, handler)
        assert isinstance(status, int), status
        return status, without_plugins(out.getvalue()), err.getvalue()

    def started(self) -> list[int]:
        """The living processes that commands of this workplace have started, Ray's included."""
        mark, found = f"{_MARK}={self.mark}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):  # empty in one that has ended
                    found.append(int(folder.name))
        return found

    def is_deserted(self, within_seconds: float = 90.0) -> bool:
        """Whether all that the commands have started has ended, soon."""
        return wait_for(lambda: not self.started(), within_seconds)

    def kill_all(self) -> None:
        for pid in self.started():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for command in self.processes:
            command.communicate()


def without_plugins(out: str) -> str:
    """What a command has said beside which plug-ins it runs."""
    return re.sub(r"^plug-ins that are run: .*\n", "", out, flags=re.MULTILINE)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` holds within so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
