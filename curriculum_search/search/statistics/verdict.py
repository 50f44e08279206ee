"""Where the next seeds of a confirmation go, and what it says in the end."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curriculum_search.search.statistics.comparison import Comparison, Contrast, Plan, Results, compare, seeds_compared
from curriculum_search.search.statistics.curves import reach
from curriculum_search.search.statistics.sequential import Array

#: Arm to seed to a learning curve: images seen and values, of equal length.
Curves = Mapping[str, Mapping[int, tuple[Sequence[int], Sequence[float]]]]

#: An arm is given up when the chance that its remaining seeds decide for it falls below this.
_LEAST_CHANCE = 0.05
#: Mean curves drawn for the interval of `Sooner`.
_DRAWS = 2000


def allocate(
    plan: Plan,
    results: Results,
    *,
    runs_left: int | None = None,
    concurrency: int = 1,
    failed: Collection[tuple[str, int]] = (),
) -> list[tuple[str, int]]:
    """The runs that are worth most now: arm and seed.  Empty when the verdict is clear or the seeds are used up.

    All arms get `min_seeds`.  Then seeds go to each arm that may still be found better than the reference and is not
    behind one that has been; and, when a leader or its control is the best, to the two until it is clear whether the
    order matters.

    Args:
        plan: what is compared.
        results: final values by now; runs that are under way are missing, and are named again.
        runs_left: of the budget; arms that it does not suffice for are left out, the least promising first.
        concurrency: runs that can be under way at once; arms get several seeds in one go rather than leave room empty.
        failed: runs that an error has ended: an arm gets no seeds that could only be compared together with these.
    """
    runs: list[tuple[str, int]] = []
    reach = {arm: _reach(plan, arm, failed) for arm in (plan.reference, *plan.arms)}
    for step in range(1, plan.max_seeds + 1):
        targets = _targets(plan, results, step, reach)
        more = _missing(plan, results, targets, math.inf if runs_left is None else runs_left)
        if len(more) <= len(runs):
            break
        runs = more
        if len(runs) >= concurrency:
            break
    return runs


def _reach(plan: Plan, arm: str, failed: Collection[tuple[str, int]]) -> int:
    """Seeds at which an arm can ever be compared."""
    broken = [seed - plan.first_seed for name, seed in failed if name == arm]
    return min([*broken, plan.seeds_of(arm, plan.max_seeds)]) // plan.seeds_of(arm, 1)


def _missing(plan: Plan, results: Results, targets: list[tuple[str, int]], runs_left: float) -> list[tuple[str, int]]:
    wanted: dict[str, int] = {}
    runs: list[tuple[str, int]] = []
    for arm, num_seeds in targets:
        more = {name: max(plan.seeds_of(name, num_seeds), wanted.get(name, 0)) for name in (plan.reference, arm)}
        attempt = [
            (name, seed)
            for name, count in (wanted | more).items()
            for seed in range(plan.first_seed, plan.first_seed + count)
            if seed not in results.get(name, {})
        ]
        if len(attempt) <= runs_left:
            wanted, runs = wanted | more, attempt
    return runs


def _targets(plan: Plan, results: Results, step: int, reach: Mapping[str, int]) -> list[tuple[str, int]]:
    """Arms that deserve `step` more seeds, with the number that they would have, the most promising first."""
    limits = {arm: min(reach[arm], reach[plan.reference]) for arm in plan.arms}
    arms = [arm for arm in plan.arms if limits[arm] >= plan.min_seeds]
    done = {arm: seeds_compared(plan, results, Contrast(arm=arm, against=plan.reference)) for arm in arms}
    if young := [arm for arm in arms if done[arm] < plan.min_seeds]:
        return [(arm, plan.min_seeds) for arm in young]
    comparisons = compare(plan, results)
    by_arm = {arm: comparisons[Contrast(arm=arm, against=plan.reference)] for arm in arms}
    best = _best(plan, [arm for arm in arms if by_arm[arm].claimed and by_arm[arm].better], by_arm)
    chances: dict[str, float] = {}
    for arm, comparison in by_arm.items():
        ahead = best is None or plan.sign * (comparison.difference - by_arm[best].difference) > 0
        if ahead and not comparison.claimed:
            chances[arm] = comparison.chance
    for leader, control in plan.controls.items():
        order = comparisons.get(Contrast(arm=leader, against=control))
        if order is not None and best in (leader, control) and not order.claimed:
            for arm in (leader, control):
                if arm in done and done[arm] == order.num_seeds:
                    chances[arm] = max(order.chance_either, chances.get(arm, 0.0))
    open_arms = [arm for arm, chance in chances.items() if chance >= _LEAST_CHANCE and done[arm] < limits[arm]]
    open_arms.sort(key=lambda arm: -chances[arm])
    return [(arm, min(done[arm] + step, limits[arm])) for arm in open_arms]


def _best(plan: Plan, arms: Sequence[str], by_arm: Mapping[str, Comparison]) -> str | None:
    return max(arms, key=lambda arm: plan.sign * by_arm[arm].difference, default=None)


@dataclass(frozen=True, kw_only=True)
class Sooner:
    """How much sooner an arm reaches the reference's final value: a ratio of images seen, with a 95 % interval.

    Attributes:
        ratio: images after which the reference's mean curve stays at the reference's final value, divided by the images
            after which the arm's mean curve does; 0 where the arm's never does.
        low, high: the interval, of this comparison alone.
    """

    ratio: float
    low: float
    high: float


def sooner(plan: Plan, curves: Curves, arm: str) -> Sooner | None:
    """How much sooner `arm` reaches the final value of the reference; None without two curves of both.

    The curves of one arm must have been evaluated at the same images.
    """
    ours, theirs = curves.get(arm, {}), curves.get(plan.reference, {})
    if min(len(ours), len(theirs)) < 2:
        return None
    rng = np.random.default_rng(0)
    (images, gains), (their_images, their_gains) = (
        (np.asarray(next(iter(runs.values()))[0], dtype=np.float64), _means(plan, runs, rng)) for runs in (ours, theirs)
    )
    finals = their_gains[:, -1]
    ratios = reach(images, gains, finals) / reach(their_images, their_gains, finals)
    low, high = np.quantile(ratios[1:], [0.025, 0.975], method="nearest")
    return Sooner(ratio=float(ratios[0]), low=float(low), high=float(high))


def _means(plan: Plan, runs: Mapping[int, tuple[Sequence[int], Sequence[float]]], rng: np.random.Generator) -> Array:
    """The mean curve, and then draws of what it may be: at each evaluation they have Student's t-distribution.

    Seeds drawn again with replacement would differ too little: of two to eight seeds, their 95 % held 77 to 91 %.
    """
    gains = plan.sign * np.array([values for _, values in runs.values()], dtype=np.float64)
    count, mean = len(gains), gains.mean(axis=0)
    steps = rng.standard_normal((_DRAWS, count)) @ (gains - mean) / math.sqrt(count * (count - 1))
    steps /= np.sqrt(rng.chisquare(count - 1, (_DRAWS, 1)) / (count - 1))
    means: Array = np.concatenate([mean[None], mean + steps])
    return means


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the confirmation says, in numbers; `results.words` puts it into words.

    Attributes:
        metric: that decided.
        plan: what was compared.
        arm: what the verdict is about: the best of the arms found better than the reference, else the leader that did
            best; None before any leader has its seeds.
        main: that arm against the reference.
        order: what the order adds: the leader against its exposure-matched control, where the arm is one of the two.
        exposure: what training each noise level as often as the leader adds: the control against the reference.
        leaders: each other leader against the reference; None where it has too few seeds.
        others: the main comparison under each other metric, each of which has the whole error probability for itself.
        sooner: how much sooner the arm reaches the reference's final value.
    """

    metric: str
    plan: Plan
    arm: str | None
    main: Comparison | None
    order: Comparison | None
    exposure: Comparison | None
    leaders: Mapping[str, Comparison | None]
    others: Mapping[str, Comparison]
    sooner: Sooner | None

    @property
    def control(self) -> str | None:
        """The exposure-matched control of the leader that the verdict is about, where it is not shown to be worse: no
        worse in the mean, or found better than the reference while the leader is not found better than it."""
        control = self.plan.controls.get(self.arm or "")
        if control is None or self.order is None or self.exposure is None:
            return None
        if not math.isfinite(self.order.difference) or (self.order.claimed and self.order.better):
            return None
        found = self.exposure.claimed and self.exposure.better
        return control if found or not self.order.better else None


def judge(
    plan: Plan,
    results: Results,
    *,
    metric: str,
    others: Mapping[str, Results] | None = None,
    curves: Curves | None = None,
) -> Verdict:
    """The verdict as the results stand.

    Args:
        plan: what was compared.
        results: final values of the deciding metric.
        metric: its name.
        others: final values of other metrics by their name, in the same direction.
        curves: learning curves of the deciding metric.
    """
    comparisons = compare(plan, results)
    by_arm = {contrast.arm: c for contrast, c in comparisons.items() if contrast.against == plan.reference}
    leading = [leader for leader in plan.leaders if leader in by_arm]
    leading.sort(key=lambda leader: math.isnan(by_arm[leader].difference))  # else `max` would keep one that comes first
    found = [arm for arm, comparison in by_arm.items() if comparison.claimed and comparison.better]
    arm = _best(plan, found or leading, by_arm)
    pair = next((item for item in plan.controls.items() if arm in item), None)
    opinions = {}
    for name, values in (others or {}).items():
        other = compare(plan, values).get(Contrast(arm=arm or "", against=plan.reference))
        if other is not None:
            opinions[name] = other
    return Verdict(
        metric=metric,
        plan=plan,
        arm=arm,
        main=by_arm[arm] if arm is not None else None,
        order=comparisons.get(Contrast(arm=pair[0], against=pair[1])) if pair else None,
        exposure=by_arm.get(pair[1]) if pair else None,
        leaders={leader: by_arm.get(leader) for leader in plan.leaders if leader != arm},
        others=opinions,
        sooner=sooner(plan, curves or {}, arm) if arm is not None else None,
    )
