"""Curricula for other people's training code: what each codebase already calls, from a curriculum.json file.

Nothing here needs more than numpy and torch.  docs/how-to/adapters.md has the lines that change in each
codebase; they are those of the loops in tests/adapters/loops, which the tests run.
"""

from curriculum_search.adapters._base import CurriculumAdapter, Follower
from curriculum_search.adapters.diffusers import DiffusersFlowMatching, DiffusersSigmas, DiffusersTimesteps
from curriculum_search.adapters.edm import EDMSigmas
from curriculum_search.adapters.learned_weights import LearnedWeights
from curriculum_search.adapters.levels import Levels
from curriculum_search.adapters.quantiles import Quantiles
from curriculum_search.adapters.schedule_sampler import ScheduleSampler
from curriculum_search.adapters.sit import SiTTimes

__all__ = [
    "CurriculumAdapter",
    "DiffusersFlowMatching",
    "DiffusersSigmas",
    "DiffusersTimesteps",
    "EDMSigmas",
    "Follower",
    "LearnedWeights",
    "Levels",
    "Quantiles",
    "ScheduleSampler",
    "SiTTimes",
]
