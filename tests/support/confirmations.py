"""Confirmations on simulated values."""

import math
from collections.abc import Mapping

import numpy as np

from curriculum_search.search.statistics.comparison import Contrast, Plan
from curriculum_search.search.statistics.verdict import allocate

PLAN = Plan(
    reference="none",
    leaders=("A",),
    controls={"A": "A / exposure"},
    baselines=("published", "reversed"),
    max_seeds=10,
)
FLAT = {"none": 9.0, "A": 9.0, "A / exposure": 9.0, "published": 9.0, "reversed": 9.0}
NOISE = {"none": 2.0, "A": 0.8, "A / exposure": 1.0, "published": 1.3, "reversed": 6.5}
A_NONE = Contrast(arm="A", against="none")


def confirm(
    plan: Plan, means: Mapping[str, float], noise: Mapping[str, float], seed: int, *, common: float = 0.0
) -> dict[str, dict[int, float]]:
    """A whole confirmation on simulated values."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(60)
    own = {arm: math.sqrt(common) * shared + math.sqrt(1 - common) * rng.standard_normal(60) for arm in means}
    results: dict[str, dict[int, float]] = {arm: {} for arm in means}
    while runs := allocate(plan, results):
        for arm, number in runs:
            results[arm][number] = means[arm] + noise[arm] * own[arm][number]
    return results


def full(plan: Plan, means: Mapping[str, float], noise: float = 1.0, seed: int = 0) -> dict[str, dict[int, float]]:
    rng = np.random.default_rng(seed)
    return {
        arm: {i: mean + noise * rng.standard_normal() for i in range(plan.seeds_of(arm, plan.max_seeds))}
        for arm, mean in means.items()
    }
