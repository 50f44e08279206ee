"""How often a better learning rate is sold as a better curriculum.

    python benchmarks/equal_tries.py [--studies 1000]        (about two minutes on two cores)

Simulated studies in which curricula do nothing and one setting decides, searched at random over its whole range: the
objective is 9 + k (x - 0.6)^2 plus noise over seeds of sd 1.  Ordinary training gets as many tries as any one order,
all orders together three times as many, and the leader is the best of all of those.  Each study goes through `allocate`
and `compare` with 3 to 8 seeds, as a real one does; ordinary training enters with the best of its own tries, or, as in
studies, with that or the leader's setting, whichever does better on the first seeds of the confirmation.
"""

import argparse
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from curriculum_search.search.statistics.comparison import Contrast, Plan, compare
from curriculum_search.search.statistics.verdict import allocate

REFERENCE, LEADER, CONTROL = "no curriculum", "leader", "control"
PLAN = Plan(
    reference=REFERENCE,
    leaders=(LEADER,),
    controls={LEADER: CONTROL},
    baselines=("published", "reversed", "random order"),
    min_seeds=3,
    max_seeds=8,
)
ORDERS = ("easy to hard", "hard to easy", "random")
BASE = 0.2  # the setting of the study file


def study(job: tuple[int, float, int, bool]) -> tuple[bool, bool]:
    """Whether the leader, and its control, are claimed to be better than no curriculum."""
    seed, curvature, trials, rival = job
    rng = np.random.default_rng(seed)

    def end(setting: float, runs: int) -> np.ndarray:
        return 9 + curvature * (setting - 0.6) ** 2 + rng.standard_normal(runs)

    tries: Counter[str] = Counter()
    ordinary = [(float(end(BASE, 1)[0]), BASE)]
    curricula: list[tuple[float, float]] = []
    for _ in range(trials):
        owed = tries[REFERENCE] < max(tries[order] for order in ORDERS)
        order = REFERENCE if owed else str(rng.choice([REFERENCE, *ORDERS]))
        tries[order] += 1
        setting = float(rng.random())
        (ordinary if order == REFERENCE else curricula).append((float(end(setting, 1)[0]), setting))
    leading = min(curricula)[1]
    most = PLAN.seeds_of(REFERENCE, PLAN.max_seeds)
    entering = [end(setting, most) for setting in [min(ordinary)[1], *([leading] if rival else [])]]
    values = {arm: end(BASE, PLAN.max_seeds) for arm in PLAN.baselines}
    values |= {arm: end(leading, PLAN.max_seeds) for arm in (LEADER, CONTROL)}
    values[REFERENCE] = min(entering, key=lambda runs: runs[: PLAN.min_seeds].mean())
    results: dict[str, dict[int, float]] = {arm: {} for arm in values}
    while runs := allocate(PLAN, results):
        for arm, number in runs:
            results[arm][number] = float(values[arm][number])
    found = compare(PLAN, results)
    leader, control = (found[Contrast(arm=arm, against=REFERENCE)] for arm in (LEADER, CONTROL))
    return leader.claimed and leader.better, control.claimed and control.better


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    print(f"Claims that curricula, which do nothing, are better; {studies} studies each")
    print(f"{'':12}{'':>8}{'own best setting':>26}{'or the leaders (ours)':>26}")
    print(f"{'curvature k':12}{'trials':>8}" + f"{'leader':>13}{'exposure':>13}" * 2)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for curvature, trials in ((0, 24), (50, 24), (200, 24), (500, 24), (200, 16), (200, 60)):
            row = ""
            for rival in (False, True):
                jobs = [(seed, curvature, trials, rival) for seed in range(studies)]
                row += "".join(f"{rate:13.1%}" for rate in np.mean(list(pool.map(study, jobs, chunksize=50)), axis=0))
            print(f"{curvature:<12}{trials:>8}{row}", flush=True)


if __name__ == "__main__":
    main()
