"""Who trains a run: the loop of this package, or training code of the user's own through the handle `Run`."""

from pathlib import Path

from curriculum_search import training
from curriculum_search.experiment import CommandTrainer, Experiment, FunctionTrainer
from curriculum_search.trainers.checks import TrainerError
from curriculum_search.trainers.command import train_with_command
from curriculum_search.trainers.function import train_with_function
from curriculum_search.trainers.handle import Params, Run
from curriculum_search.trainers.output import OUTPUT, SHOWN, last_lines
from curriculum_search.trainers.program import connect
from curriculum_search.training import Session, TrainingResult

__all__ = ["OUTPUT", "Params", "Run", "SHOWN", "TrainerError", "connect", "last_lines", "train"]


def train(experiment: Experiment, session: Session, cache_dir: Path) -> TrainingResult:
    """Have an experiment trained to its end by whoever trains it; see `training.train`, which is one of them."""
    trainer = experiment.trainer
    if isinstance(trainer, FunctionTrainer):
        return train_with_function(experiment, trainer, session)
    if isinstance(trainer, CommandTrainer):
        return train_with_command(experiment, trainer, session)
    return training.train(experiment, session, cache_dir)
