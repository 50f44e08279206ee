"""What images are conditioned on: nothing, a class, a caption, and whatever else data give and a model reads.

Everything between the two (reading ahead, noise processes, samplers, the training loop, evaluation) passes conditions
on without looking into them.  Each kind has a file of its own here.
"""

from curriculum_search.conditions.base import Condition, Conditions, Unconditional, Unconditioned
from curriculum_search.conditions.classes import ClassCondition, Classes, class_indices
from curriculum_search.conditions.text import Captions, TextCondition

__all__ = [
    "Captions",
    "ClassCondition",
    "Classes",
    "Condition",
    "Conditions",
    "TextCondition",
    "Unconditional",
    "Unconditioned",
    "class_indices",
]
