"""One training run as a configuration: the experiment, and the parts of it that belong to no other package."""

from curriculum_search.experiment.cadence import Cadence
from curriculum_search.experiment.experiment import Experiment
from curriculum_search.experiment.resources import Resources
from curriculum_search.experiment.training import Training

__all__ = ["Cadence", "Experiment", "Resources", "Training"]
