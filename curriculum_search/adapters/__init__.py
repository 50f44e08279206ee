"""Curricula for other people's training code: what each codebase already calls, from a curriculum.json file.

Nothing here needs more than numpy and torch.  Each class says which lines of its codebase change.
"""

from curriculum_search.adapters._base import CurriculumAdapter
from curriculum_search.adapters.diffusers import DiffusersFlowMatching, DiffusersTimesteps
from curriculum_search.adapters.edm import EDMSigmas
from curriculum_search.adapters.schedule_sampler import ScheduleSampler
from curriculum_search.adapters.sit import SiTTimes

__all__ = [
    "CurriculumAdapter",
    "DiffusersFlowMatching",
    "DiffusersTimesteps",
    "EDMSigmas",
    "ScheduleSampler",
    "SiTTimes",
]
