"""Would the quickstart say the same again?  Its confirmation repeated, on runs drawn from those that were recorded.

    python benchmarks/repeat_quickstart.py                                    from benchmarks/quickstart_seeds.json
    python benchmarks/repeat_quickstart.py --study results/recorded --write   from a study, whose values are kept there

To record (about 170 runs; interrupted, it goes on)::

    python jobs/search.py search_spaces/quickstart.yaml study.name=recorded \\
        study.confirmation.min_seeds=16 study.confirmation.max_seeds=16

Each repetition draws the value of every run with replacement from the runs of its arm, spread by sqrt(n / (n - 1)), and
goes through `allocate` and `judge` with the seeds of the study file, as a real one does.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from curriculum_search.export import CURRICULUM
from curriculum_search.search.load import load_study
from curriculum_search.search.statistics.comparison import Comparison, Plan
from curriculum_search.search.statistics.verdict import allocate, judge

STUDY_FILE = Path(__file__).parents[1] / "search_spaces" / "quickstart.yaml"
RECORDED = Path(__file__).with_name("quickstart_seeds.json")
REFERENCE = "no_curriculum"

Values = Mapping[str, list[float]]


def read_study(folder: Path) -> dict[str, list[float]]:
    """Arm to the final values of its confirmed runs, from what a finished study exports."""
    evidence = json.loads((folder / CURRICULUM).read_text())["evidence"]
    found = {arm: [value for value in seeds.values() if value is not None] for arm, seeds in evidence["values"].items()}
    return {arm: values for arm, values in found.items() if len(values) > 1}


def plan_of(values: Values, min_seeds: int, max_seeds: int) -> Plan:
    """The comparison that the study makes of these arms."""
    controls = {arm.removesuffix(" / exposure"): arm for arm in values if arm.endswith(" / exposure")}
    others = set(values) - set(controls) - set(controls.values()) - {REFERENCE}
    return Plan(
        reference=REFERENCE,
        leaders=tuple(controls),
        controls=controls,
        baselines=tuple(sorted(others)),
        min_seeds=min_seeds,
        max_seeds=max_seeds,
    )


def side(comparison: Comparison | None) -> str:
    """What is claimed."""
    if comparison is None or not comparison.claimed:
        return "not separable"
    return "better" if comparison.better else "worse"


def repeat(plan: Plan, values: Values, rng: np.random.Generator) -> tuple[tuple[str, str, str], int]:
    """One confirmation: what it says of the verdict's arm, of the exposure and of the order, and its runs."""
    drawn = {}
    for arm, known in values.items():
        mean, count = float(np.mean(known)), len(known)
        chosen = rng.choice(known, plan.seeds_of(arm, plan.max_seeds))
        drawn[arm] = mean + (chosen - mean) * math.sqrt(count / (count - 1))
    results: dict[str, dict[int, float]] = {arm: {} for arm in values}
    while runs := allocate(plan, results, concurrency=2):
        for arm, seed in runs:
            results[arm][seed] = float(drawn[arm][seed])
    verdict = judge(plan, results, metric="")
    said = (side(verdict.main), side(verdict.exposure), side(verdict.order))
    return said, sum(map(len, results.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="the folder of a finished study")
    parser.add_argument("--write", action="store_true", help="keep its values for the next time")
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--run-seconds", type=float, help="of one run, to say how long a study takes, two at once")
    arguments = parser.parse_args()
    values = read_study(arguments.study) if arguments.study else json.loads(RECORDED.read_text())
    if arguments.write:
        RECORDED.write_text(json.dumps(values, indent=1) + "\n")
    study = load_study(STUDY_FILE, {}).study
    plan = plan_of(values, study.confirmation.min_seeds, study.confirmation.max_seeds)
    print(f"{'arm':28}{'mean':>8}{'sd':>8}{'runs':>6}")
    for arm, known in values.items():
        print(f"{arm:28}{np.mean(known):8.3f}{np.std(known, ddof=1):8.3f}{len(known):6}")
    rng = np.random.default_rng(0)
    outcomes, runs = zip(*(repeat(plan, values, rng) for _ in range(arguments.repetitions)), strict=True)
    print(f"\n{arguments.repetitions} confirmations with {plan.min_seeds} to {plan.max_seeds} seeds")
    for i, question in enumerate(("beside ordinary training", "the exposure alone", "the order on top of it")):
        counts = Counter(said[i] for said in outcomes).most_common()
        print(f"{question:28}" + ", ".join(f"{name} {count / len(outcomes):.1%}" for name, count in counts))
    # Baselines that were not recorded get the least, and so does ordinary training with the leader's settings.
    besides = (len(study.baselines) - 1 - len(plan.baselines) + 1) * plan.min_seeds
    total = np.array(runs) + besides + study.trials + len(study.baselines)
    print(f"{'runs, with the search':28}{np.mean(total):.0f} (95 % of studies: at most {np.quantile(total, 0.95):.0f})")
    if arguments.run_seconds:
        print(f"{'minutes, two runs at once':28}{np.quantile(total, 0.95) * arguments.run_seconds / 120:.1f}")


if __name__ == "__main__":
    main()
