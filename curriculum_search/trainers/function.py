"""A run that a function of the user's own trains."""

import importlib.util
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import torch

from curriculum_search import distributed
from curriculum_search.atomic import is_disk_full
from curriculum_search.evaluation import Diverged
from curriculum_search.experiment import Experiment, FunctionTrainer
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.trainers.checks import TrainerError, one_line
from curriculum_search.trainers.handle import Run
from curriculum_search.training import Report, Session, StatusReport, TrainingResult
from curriculum_search.training.randomness import derive_seed

T = TypeVar("T")


def train_with_function(experiment: Experiment, trainer: FunctionTrainer, session: Session) -> TrainingResult:
    """Call the function with the run's handle.

    It finds torch's, numpy's and Python's own random numbers seeded by the run's seed, and what lies beside its file
    importable; of what it imports from there nothing stays in the process.

    Raises:
        Diverged: a reported value or loss is not finite.
        Interrupted: it was asked to end, and has.
        TrainerError: there is no such function, or it does not do what a study needs.
    """
    experiment.check_workers(distributed.world_size())
    torch.set_num_threads(experiment.resources.cpus_per_worker)
    home = _Home(session)
    run = Run(Assignment.of(experiment, trainer), home)
    _seed_everything(experiment.seed)
    with _importable(trainer):
        try:
            _load(trainer)(run)
        except (Diverged, TrainerError, KeyboardInterrupt):
            raise
        except BaseException as error:
            if home.ended or is_disk_full(error):
                raise
            raise TrainerError(trainer.title, f"raises {one_line(error)}{_place(error, trainer)}") from error
    return run.result()


class _Home:
    """A session that knows whether it has ended the run: Ray does so by an exception, within whatever it is told or
    asked."""

    def __init__(self, session: Session) -> None:
        self.run_dir, self.device = session.run_dir, session.device
        self.ended = False
        self._session = session

    @property
    def should_stop(self) -> bool:
        return self._guarded(lambda: self._session.should_stop)

    def report(self, report: Report) -> None:
        self._guarded(lambda: self._session.report(report))

    def status(self, status: StatusReport) -> None:
        self._guarded(lambda: self._session.status(status))

    def remark(self, words: str) -> None:
        self._guarded(lambda: self._session.remark(words))

    def goes_on(self) -> None:
        self._guarded(self._session.goes_on)

    def _guarded(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except BaseException:
            self.ended = True
            raise


def _place(error: BaseException, trainer: FunctionTrainer) -> str:
    """Where in the user's files an error was raised, in words; nothing if it was not there."""
    names = {str(path) for path in trainer.files}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in names]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _load(trainer: FunctionTrainer) -> Callable[[Run], Any]:
    path = Path(trainer.path).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise TrainerError(trainer.title, f"{path} does not exist or is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # as an import has it: what is pickled of it is found again
    spec.loader.exec_module(module)
    function = getattr(module, trainer.function, None)
    if not callable(function):
        raise TrainerError(trainer.title, f"has no function {trainer.function}")
    return function  # type: ignore[no-any-return]


@contextmanager
def _importable(trainer: FunctionTrainer) -> Iterator[None]:
    """Have what lies beside the function's file found, whatever else has its name, and forget it afterwards."""
    home = trainer.home.resolve()
    own = {Path(path.relative_to(home).parts[0]).stem for path in trainer.files if path.is_relative_to(home)}

    def of_own() -> dict[str, ModuleType]:
        return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in own}

    before = of_own()
    for name in before:
        del sys.modules[name]
    sys.path.insert(0, str(home))
    try:
        yield
    finally:
        sys.path.remove(str(home))
        for name in of_own():
            del sys.modules[name]
        sys.modules.update(before)


def _seed_everything(seed: int) -> None:
    mixed = derive_seed(seed, "own")
    torch.manual_seed(mixed)
    np.random.seed(mixed % 2**32)
    random.seed(mixed)
