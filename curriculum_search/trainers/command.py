"""A run that a program of the user's own trains."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from curriculum_search.atomic import write_whole
from curriculum_search.distributed import free_port
from curriculum_search.experiment import PARAMS_FILE, CommandTrainer, Experiment, search_path
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.trainers.checks import TrainerError, check_end
from curriculum_search.trainers.output import OUTPUT, SHOWN, cause, last_lines
from curriculum_search.trainers.program import (
    ASSIGNMENT,
    CURRICULUM,
    MESSAGES,
    PARAMS,
    PLUGINS,
    VARIABLE,
    end_with_parent,
)
from curriculum_search.trainers.relay import Lines, Relay
from curriculum_search.training import Interrupted, Session, TrainingResult

_PROGRAM, _OWN = "program", "own"
_LOOK_SECONDS = 0.05


def train_with_command(experiment: Experiment, trainer: CommandTrainer, session: Session) -> TrainingResult:
    """Start the program, hand on what it says, and see to its end, whatever ends this.

    Its output is in the run's folder, ``output.txt``; what an earlier start wrote there stays.

    Raises:
        Diverged: a reported value or loss is not finite.
        Interrupted: it was asked to end, and has.
        TrainerError: it fails, or does not do what a study needs.
    """
    assignment = Assignment.of(experiment, trainer)
    folder, own, output = session.run_dir / _PROGRAM, session.run_dir / _OWN, session.run_dir / OUTPUT
    own.mkdir(parents=True, exist_ok=True)
    _write(folder, assignment)
    relay = Relay(assignment, session, folder)
    texts = [Lines(output, start=output.stat().st_size if output.exists() else 0)]
    if trainer.metrics_file is not None:
        texts.append(Lines(trainer.home / trainer.metrics_file.format(folder=own), start=None))
    environment = {
        **os.environ,
        VARIABLE: str(folder),
        "PATH": search_path(),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(experiment.resources.cpus_per_worker),
        # Where torch.distributed meets: at its usual port the programs of two trials on one machine would collide.
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    with output.open("ab") as log:
        try:
            process = subprocess.Popen(
                words(trainer, assignment.params, folder / PARAMS, own),
                cwd=trainer.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        except OSError as error:
            raise TrainerError(trainer.title, f"cannot be started ({error.strerror}: {error.filename})") from error
    asked = False
    try:
        ended = False
        while not ended:
            ended = process.poll() is not None
            relay.take(texts, ended=ended)
            if session.should_stop and not (asked or ended):
                _ask(process, signal.SIGTERM)
                asked = True
            if not ended:
                time.sleep(_LOOK_SECONDS)
    finally:
        _end(process, trainer.stop_seconds)
    if len(relay.reports) < len(assignment.points) and asked:
        raise Interrupted(relay.drawn)
    if relay.problem is not None:
        raise relay.problem
    if process.returncode and not asked:
        raise _failure(trainer, process.returncode, output)
    check_end(assignment, drawn=relay.drawn, reports=relay.reports, ended="ends")
    last = relay.reports[-1]
    return TrainingResult(
        metrics=dict(last.metrics),
        images=last.images,
        seconds=last.metrics["train_seconds"],
        exposure=dict(last.exposure),
    )


def words(trainer: CommandTrainer, params: Mapping[str, Any], params_file: Path, own: Path) -> list[str]:
    """The program and its arguments.

    Parameters are in the file where an argument names it; else each is ``--name value``: true gives ``--name`` alone,
    false and null give nothing, a list all its values after the name, and a mapping ``--name.inner value``.
    """
    given = [word.replace("{folder}", str(own)) for word in trainer.command]
    if any(PARAMS_FILE in word for word in given):
        return [word.replace(PARAMS_FILE, str(params_file)) for word in given]
    return [*given, *_flags(params)]


def _flags(params: Mapping[str, Any], prefix: str = "--") -> list[str]:
    found = []
    for name, value in params.items():
        if isinstance(value, Mapping):
            found += _flags(value, f"{prefix}{name}.")
        elif value is not None and value is not False:
            values = [] if value is True else value if isinstance(value, list | tuple) else [value]
            found += [f"{prefix}{name}", *(v if isinstance(v, str) else json.dumps(v) for v in values)]
    return found


def to_yaml(value: Any) -> str:
    """Plain values as JSON that readers of YAML 1.1 read alike: its numbers have a point before an exponent."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(name))}: {to_yaml(v)}" for name, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_yaml, value)) + "]"
    text = json.dumps(value)
    if isinstance(value, float) and "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return text


def _write(folder: Path, assignment: Assignment) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MESSAGES).write_bytes(b"")
    assignment.write(folder / ASSIGNMENT, folder / CURRICULUM)
    write_whole(folder / PARAMS, to_yaml(assignment.params) + "\n")
    shutil.rmtree(folder / PLUGINS, ignore_errors=True)
    (folder / PLUGINS).mkdir()
    plugins = [m for n, m in sys.modules.items() if n.startswith("curriculum_search_plugin_") and hasattr(m, "source")]
    for i, module in enumerate(plugins):
        (folder / PLUGINS / f"{i}.py").write_text(module.source)


def _end_with_parent() -> None:
    end_with_parent(signal.SIGTERM)


def _ask(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the program and all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """See to it that nothing of the program is left: ask it, wait, and kill it."""
    if process.poll() is None:
        _ask(process, signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _ask(process, signal.SIGKILL)
            process.wait()
    _ask(process, signal.SIGKILL)  # what it has left behind


def _failure(trainer: CommandTrainer, status: int, output: Path) -> TrainerError:
    tail = last_lines(output)
    how = f"is killed by {signal.Signals(-status).name}" if status < 0 else f"ends with exit status {status}"
    error = TrainerError(trainer.title, f"{how}: {cause(tail)} ({output})")
    error.add_note("The end of its output:\n" + "\n".join(tail[-SHOWN:]))
    return error
