"""Who trains a run: the loop of this package, a function of the user's own, or a program of theirs."""

import ast
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from curriculum_search.config import Kinded
from curriculum_search.experiment.code import code_files, code_hash, parse

#: In a command: the path of the file that has the parameters.
PARAMS_FILE = "{params_file}"


class Trainer(Kinded):
    """Who trains a run."""


@dataclass(frozen=True, kw_only=True)
class NativeTrainer(Trainer):
    """The training loop of this package, on its networks, data and metrics."""

    kind: Literal["native"] = "native"


@dataclass(frozen=True, kw_only=True)
class OwnTrainer(Trainer):
    """Training code of the user's own, with its own network, data and metrics.

    Of an experiment it has the noise process, the base density, the curriculum, the seed, and of `training` the three
    numbers ``total_images``, ``batch_size`` and ``num_evaluations``.  It is run through `curriculum_search.trainers`.

    Attributes:
        params: its parameters, of any names.  Each can be searched, as ``trainer.params.<name>``.
        metrics: what it reports at each evaluation, and whether less or more of it is better: ``{fid: minimize}``.
        sources: patterns of further files that it consists of, relative to its folder: what it imports by other means
            than an import statement, and configs that it reads.
        rehearsal_minutes: how long the few steps that a study rehearses first may take.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Literal["minimize", "maximize"]]
    sources: tuple[str, ...] = ()
    rehearsal_minutes: float = 10.0

    def __post_init__(self) -> None:
        if not self.metrics:
            raise ValueError("metrics must name what is reported, and which way is better, as in {fid: minimize}")
        if self.rehearsal_minutes <= 0:
            raise ValueError(f"rehearsal_minutes must be above 0, not {self.rehearsal_minutes}")

    @property
    def title(self) -> str:
        """What messages call it."""
        raise NotImplementedError

    @property
    def files(self) -> tuple[Path, ...]:
        """What it consists of."""
        raise NotImplementedError

    @property
    def home(self) -> Path:
        """Its folder."""
        raise NotImplementedError

    def code(self) -> str:
        """The hash of its files: with other code it is another trainer.

        Raises:
            ValueError: a file cannot be read.
        """
        return code_hash(self.files, self.home)

    def identity(self) -> dict[str, Any]:
        """What makes its runs what they are: the code, wherever it lies, and the parameters."""
        fields = self.to_dict()
        names = ("kind", "function", "command", "params", "metrics")
        return {name: fields[name] for name in names if name in fields} | {"code": self.code()}

    def check(self) -> None:
        """Everything that can be known without running it.

        Raises:
            ValueError: what is wrong, the file, and what would be right.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FunctionTrainer(OwnTrainer):
    """A Python function that is called with the run's handle (`curriculum_search.trainers.Run`) and trains.

    Attributes:
        path: the Python file; what lies beside it can be imported from it.  In a file it is relative to that file.
        function: its name.
    """

    kind: Literal["function"] = "function"
    path: str
    function: str = "train"

    @property
    def title(self) -> str:
        return Path(self.path).name

    @property
    def files(self) -> tuple[Path, ...]:
        return code_files([Path(self.path)], self.sources, self.home)

    @property
    def home(self) -> Path:
        return Path(self.path).absolute().parent

    def check(self) -> None:
        path = Path(self.path)
        if not path.is_file():
            raise ValueError(f"path: {path} {'is no file' if path.exists() else 'does not exist'}")
        tree = parse(path)
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        if self.function in functions:
            _check_signature(path, functions[self.function])
        elif self.function not in _bound(tree):
            there = f"it has {', '.join(functions)}" if functions else "it has no function"
            raise ValueError(f"function: {path} has no function {self.function}; {there}")
        _ = self.files


@dataclass(frozen=True, kw_only=True)
class CommandTrainer(OwnTrainer):
    """A program that is started for each run, and finds the run's handle by `curriculum_search.trainers.connect`.

    Attributes:
        command: the program and its arguments, as in ``[python, train.py, --epochs, "10"]``.  The parameters are added
            as ``--name value``, or, where an argument has ``{params_file}`` in it, are in that YAML file.
        folder: where it is started, and what relative paths in it start at.  In a file it is relative to that file.
        metrics_file: a file that it appends JSON lines of metrics to, relative to `folder` or to the run's own
            folder (``{folder}/metrics.jsonl``); such lines in its output are read in any case.
        stop_seconds: how long it may take to end after SIGTERM before it is killed.
    """

    kind: Literal["command"] = "command"
    command: tuple[str, ...]
    folder: str = "."
    metrics_file: str | None = None
    stop_seconds: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.command:
            raise ValueError("command must name a program and its arguments, as in [python, train.py]")
        if self.stop_seconds < 0:
            raise ValueError(f"stop_seconds must be at least 0, not {self.stop_seconds}")

    @property
    def title(self) -> str:
        return next((Path(word).name for word in self.command if self._file(word)), self.command[0])

    @property
    def files(self) -> tuple[Path, ...]:
        return code_files(filter(None, map(self._file, self.command)), self.sources, self.home)

    @property
    def home(self) -> Path:
        return Path(self.folder).absolute()

    def check(self) -> None:
        if not self.home.is_dir():
            raise ValueError(f"folder: {self.home} is no folder")
        if missing := [word for word in self.command if word.endswith(".py") and not (self.home / word).is_file()]:
            raise ValueError(f"command: {self.home / missing[0]} does not exist")
        program = self.command[0]
        if not self._file(program) and shutil.which(program, path=search_path()) is None:
            raise ValueError(f"command: there is no program {program}")
        if not self.files:
            raise ValueError(
                f"sources: must name the files of the program, for {' '.join(self.command)!r} names none of yours; "
                "changed code has to be told from unchanged"
            )
        for path in self.files:
            if path.suffix == ".py":
                parse(path)

    def _file(self, word: str) -> Path | None:
        """The file of the user's that a word of the command names."""
        path = self.home / word
        return path if not Path(word).is_absolute() and path.is_file() else None


def search_path() -> str:
    """Where programs are looked for: beside this Python first, so that ``python`` and ``torchrun`` are its own."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _bound(tree: ast.Module) -> set[str]:
    """Names that a module may bind by other means than a definition: imports and assignments at its top."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _check_signature(path: Path, function: ast.FunctionDef) -> None:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    keywords = [a for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is None]
    takes_one = required <= 1 and (positional or arguments.vararg)
    if not takes_one or keywords:
        raise ValueError(
            f"function: {path}, line {function.lineno}: {function.name}({ast.unparse(arguments)}) must take one "
            f"argument, the run: def {function.name}(run); its parameters are in run.params"
        )
