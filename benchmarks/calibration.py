"""How often a confirmation claims what is not there, and how often it finds what is.

    python benchmarks/calibration.py [--studies 2000]        (about three minutes on two cores)

Studies are simulated with the noise over seeds that was measured on real runs: 16x16 relief crops, Frechet distance
on 64 principal components, standard deviations over seeds of 1.98 (no curriculum), 0.81 (easy to hard), 0.94 (its
constant density), 1.27 (random order) and 6.5 (hard to easy).  Each goes through `allocate` and `judge` as a real
one does.
"""

import argparse
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from curriculum_search.search.statistics.comparison import Contrast, Plan, compare
from curriculum_search.search.statistics.power import power
from curriculum_search.search.statistics.sequential import welch
from curriculum_search.search.statistics.verdict import allocate

REFERENCE = "no curriculum"
PLAN = Plan(
    reference=REFERENCE,
    leaders=("leader",),
    controls={"leader": "control"},
    baselines=("published", "reversed", "random order"),
)
LEADERS = tuple(f"leader {i}" for i in range(3))
WIDE = Plan(
    reference=REFERENCE,
    leaders=LEADERS,
    controls={leader: f"control of {leader}" for leader in LEADERS},
    baselines=("published", "reversed", "random order"),
)
MEASURED = {REFERENCE: 1.98, "leader": 0.81, "control": 0.94, "published": 0.81, "reversed": 6.5, "random order": 1.27}

Noise = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal(n)


def skewed(rng: np.random.Generator, n: int) -> np.ndarray:
    variance = 0.75**2
    spread = math.sqrt((math.exp(variance) - 1) * math.exp(variance))
    return (rng.lognormal(0, 0.75, n) - math.exp(variance / 2)) / spread


def heavy(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_t(3, n) / math.sqrt(3)


@dataclass(frozen=True, kw_only=True)
class World:
    """A simulated truth: means over seeds are 9 but for `gains`; values below are better.

    Attributes:
        plan: of the confirmation.
        spreads: standard deviation over seeds by arm; arms not named have 2.7, the mean of all measured ones.
        gains: arm to what it is better by.
        noise: the shape of the noise over seeds, with unit variance.
        common: correlation between arms over seeds.
        lost: share of runs that diverge.
        step: values are rounded to its multiples, unless it is 0.
    """

    plan: Plan = PLAN
    spreads: dict[str, float] = field(default_factory=dict)
    gains: dict[str, float] = field(default_factory=dict)
    noise: Noise = normal
    common: float = 0.0
    lost: float = 0.0
    step: float = 0.0

    def study(self, rng: np.random.Generator) -> tuple[bool, bool, bool, int]:
        """Any claim, leader found better, all intervals right, runs."""
        plan = self.plan
        seeds = plan.seeds_of(plan.reference, plan.max_seeds)
        shared = self.noise(rng, seeds)
        values = {}
        for arm in (plan.reference, *plan.arms):
            noise = math.sqrt(self.common) * shared + math.sqrt(1 - self.common) * self.noise(rng, seeds)
            drawn = 9 - self.gains.get(arm, 0.0) + self.spreads.get(arm, 2.7) * noise
            if self.step:
                drawn = np.round(drawn / self.step) * self.step
            values[arm] = np.where(rng.random(seeds) < self.lost, np.nan, drawn)
        results: dict[str, dict[int, float]] = {arm: {} for arm in values}
        while runs := allocate(plan, results):
            for arm, seed in runs:
                results[arm][seed] = values[arm][seed]
        comparisons = compare(plan, results)
        truth = {c: self.gains.get(c.against, 0.0) - self.gains.get(c.arm, 0.0) for c in comparisons}
        main = [
            c for contrast, c in comparisons.items() if contrast.arm in plan.leaders and contrast.against == REFERENCE
        ]
        return (
            any(c.claimed for c in comparisons.values()),
            any(c.claimed and c.better for c in main),
            all(c.low <= truth[contrast] <= c.high for contrast, c in comparisons.items()),
            sum(map(len, results.values())),
        )


def plan_with(min_seeds: int, max_seeds: int) -> Plan:
    return Plan(
        reference=REFERENCE,
        leaders=PLAN.leaders,
        controls=PLAN.controls,
        baselines=PLAN.baselines,
        min_seeds=min_seeds,
        max_seeds=max_seeds,
    )


def calculated(gain: float, max_seeds: int) -> float:
    """What `power` says of a gain in standard deviations over seeds, equal noise."""
    ours, theirs = (np.array([PLAN.seeds_of(arm, max_seeds)]) for arm in ("leader", REFERENCE))
    errors, freedoms = welch(np.ones(1), ours, np.ones(1), theirs)
    level = (1 - PLAN.confidence) * PLAN.contrasts[Contrast(arm="leader", against=REFERENCE)]
    return power(gain / float(errors[0]), level=level, freedom=float(freedoms[0]))


NOTHING = {
    "equal noise": World(),
    "noise as measured": World(spreads=MEASURED),
    "wild leader (6.5 against 1.98)": World(spreads=MEASURED | {"leader": 6.5}),
    "calm leader (0.8 against 6.5)": World(spreads=MEASURED | {REFERENCE: 6.5, "leader": 0.8}),
    "skewed noise": World(spreads=MEASURED, noise=skewed),
    "heavy tails (t with 3 degrees)": World(spreads=MEASURED, noise=heavy),
    "seeds correlated by 0.7": World(spreads=MEASURED, common=0.7),
    "1 run in 20 diverges": World(spreads=MEASURED, lost=0.05),
    "3 leaders, 9 arms": World(plan=WIDE),
    "3 to 8 seeds": World(plan=plan_with(3, 8), spreads=MEASURED),
    "3 to 8 seeds, wild leader": World(plan=plan_with(3, 8), spreads=MEASURED | {"leader": 6.5}),
    "4 to 24 seeds": World(plan=plan_with(4, 24), spreads=MEASURED),
    "2 seeds, calm reference (0.1 sd)": World(plan=plan_with(2, 2), spreads={REFERENCE: 0.27}),
    "3 seeds, calm reference (0.3 sd)": World(plan=plan_with(3, 3), spreads={REFERENCE: 0.81}),
    "2 to 8 seeds, rounded to 1 sd": World(plan=plan_with(2, 8), step=2.7),
    "2 to 8 seeds, rounded to 2 sd": World(plan=plan_with(2, 8), step=5.4),
}
FOUND = {
    "equal noise": World(gains={"leader": 5.4}),
    "equal noise, 3 leaders": World(plan=WIDE, gains={LEADERS[0]: 5.4}),
    "noise as measured": World(spreads=MEASURED, gains={"leader": 3.96}),
    "gain of exposure alone": World(spreads=MEASURED, gains={"leader": 3.96, "control": 3.96}),
    "skewed noise": World(noise=skewed, gains={"leader": 5.4}),
    "heavy tails": World(noise=heavy, gains={"leader": 5.4}),
    "1 run in 20 diverges": World(gains={"leader": 5.4}, lost=0.05),
    "the same, a baseline 10 sd worse": World(gains={"leader": 5.4, "reversed": -27.0}, lost=0.05),
    "3 to 8 seeds": World(plan=plan_with(3, 8), gains={"leader": 5.4}),
    "gain of 1 sd, equal noise": World(gains={"leader": 2.7}),
    "the same, seeds correlated by 0.7": World(gains={"leader": 2.7}, common=0.7),
}


def simulate(job: tuple[World, int, int]) -> np.ndarray:
    world, studies, seed = job
    rng = np.random.default_rng(seed)
    return np.asarray(np.array([world.study(rng) for _ in range(studies)], dtype=float).mean(axis=0))


def run(pool: ProcessPoolExecutor, world: World, studies: int) -> np.ndarray:
    """Means over `studies` studies of what `World.study` returns."""
    parts = 8
    return np.asarray(
        np.mean([*pool.map(simulate, [(world, studies // parts, seed) for seed in range(parts)])], axis=0)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000, help="for each line, at least 32")
    studies = parser.parse_args().studies
    start = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        print(f"Nothing differs, {studies} studies each: claims of a difference (at most 5 % wanted)")
        print(f"{'':36}{'any claim':>12}{'intervals right':>18}{'runs':>8}")
        for name, world in NOTHING.items():
            claims, _, right, runs = run(pool, world, studies)
            print(f"{name:36}{claims:12.1%}{right:18.1%}{runs:8.1f}", flush=True)
        print(f"\nThe leader is better by 2 standard deviations over seeds, {studies} studies each, 4 to 12 seeds")
        print(f"{'':36}{'found':>12}{'intervals right':>18}{'runs':>8}")
        for name, world in FOUND.items():
            _, found, right, runs = run(pool, world, studies)
            print(f"{name:36}{found:12.1%}{right:18.1%}{runs:8.1f}", flush=True)
        print(
            f"\nFound (runs), by gain in standard deviations and most seeds, equal noise, {studies // 4} studies each"
        )
        print("In brackets: runs, and what the verdict's own calculation of power says")
        gains = (0.5, 1.0, 1.5, 2.0, 3.0)
        print(f"{'seeds':8}" + "".join(f"{gain:>20}" for gain in gains))
        for max_seeds in (4, 6, 8, 12, 16, 24):
            row = [
                run(
                    pool,
                    World(plan=plan_with(min(4, max_seeds), max_seeds), gains={"leader": 2.7 * gain}),
                    studies // 4,
                )
                for gain in gains
            ]
            cells = [
                f"{found:8.0%} ({runs:5.1f}, {calculated(gain, max_seeds):4.0%})"
                for gain, (_, found, _, runs) in zip(gains, row, strict=True)
            ]
            print(f"{max_seeds:<8}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
