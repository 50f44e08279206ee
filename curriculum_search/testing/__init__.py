"""Checks that every partition, order, accumulation, pacing, process, density, sampler and curriculum has to pass.

The project's own kinds run through them, and so should those of others: call the check for your part in a test of
yours, with any test runner or none.  A part that is wrong raises an AssertionError that says in what.

    from curriculum_search.testing import check_pacing

    def test_sine_is_a_pacing():
        check_pacing(Sine(end_share=0.3))
"""

from curriculum_search.testing._diffusion import check_density, check_process, check_sampler
from curriculum_search.testing._parts import check_accumulation, check_order, check_pacing, check_partition
from curriculum_search.testing._sampler import check_curriculum_sampler

__all__ = [
    "check_accumulation",
    "check_curriculum_sampler",
    "check_density",
    "check_order",
    "check_pacing",
    "check_partition",
    "check_process",
    "check_sampler",
]
