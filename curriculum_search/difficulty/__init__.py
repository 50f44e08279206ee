"""How hard each noise level of a user's data is: measured, not assumed (Kim et al. 2025, section 3)."""

from curriculum_search.difficulty.axes import PrincipalAxes
from curriculum_search.difficulty.convergence import ConvergenceCurve, ConvergenceStudy, IntervalConvergence
from curriculum_search.difficulty.entropy import EntropyCurve, EntropyStudy

__all__ = [
    "ConvergenceCurve",
    "ConvergenceStudy",
    "EntropyCurve",
    "EntropyStudy",
    "IntervalConvergence",
    "PrincipalAxes",
]
