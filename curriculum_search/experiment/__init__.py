"""One training run as a configuration: the experiment, and the parts of it that belong to no other package."""

from curriculum_search.experiment.cadence import Cadence
from curriculum_search.experiment.experiment import OF_OWN_TRAINERS, Experiment, counts
from curriculum_search.experiment.resources import Resources, WorkerRange
from curriculum_search.experiment.trainer import (
    PARAMS_FILE,
    CommandTrainer,
    FunctionTrainer,
    NativeTrainer,
    OwnTrainer,
    Trainer,
    search_path,
)
from curriculum_search.experiment.training import Training

__all__ = [
    "OF_OWN_TRAINERS",
    "PARAMS_FILE",
    "Cadence",
    "CommandTrainer",
    "Experiment",
    "FunctionTrainer",
    "NativeTrainer",
    "OwnTrainer",
    "Resources",
    "Trainer",
    "Training",
    "WorkerRange",
    "counts",
    "search_path",
]
