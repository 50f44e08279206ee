"""Where the next seeds of a confirmation go, and what it says in the end."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from curriculum_search.search.objectives import reach
from curriculum_search.search.statistics.comparison import Comparison, Contrast, Plan, Results, compare, seeds_compared

#: Arm to seed to a learning curve: images seen and values, of equal length.
Curves = Mapping[str, Mapping[int, tuple[Sequence[int], Sequence[float]]]]
Agreement = Literal["agrees", "leans the same way", "leans the other way", "contradicts"]

#: An arm is given up when the chance that its remaining seeds decide for it falls below this.
_HOPELESS = 0.05
_BOOTSTRAPS = 2000


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
    open_arms = [arm for arm, chance in chances.items() if chance >= _HOPELESS and done[arm] < limits[arm]]
    open_arms.sort(key=lambda arm: -chances[arm])
    return [(arm, min(done[arm] + step, limits[arm])) for arm in open_arms]


def _best(plan: Plan, arms: Sequence[str], by_arm: Mapping[str, Comparison]) -> str | None:
    return max(arms, key=lambda arm: plan.sign * by_arm[arm].difference, default=None)


@dataclass(frozen=True, kw_only=True)
class Sooner:
    """How much sooner an arm reaches the reference's final value: a ratio of images seen, with a 95 % interval.

    Attributes:
        ratio: all images over those that the arm's mean curve needs to reach, for good, the mean of the reference's
            final values; 0 where it does not reach it.
        low, high: the interval, from seeds drawn again with replacement.
    """

    ratio: float
    low: float
    high: float


def sooner(plan: Plan, curves: Curves, arm: str) -> Sooner | None:
    """How much sooner `arm` reaches the final value of the reference; None without curves of both.

    The curves of one arm must have been evaluated at the same images.
    """
    ours, theirs = curves.get(arm, {}), curves.get(plan.reference, {})
    if not ours or not theirs:
        return None
    images = np.asarray(next(iter(ours.values()))[0], dtype=np.float64)
    gains = plan.sign * np.array([values for _, values in ours.values()], dtype=np.float64)
    finals = plan.sign * np.array([values[-1] for _, values in theirs.values()], dtype=np.float64)
    rng = np.random.default_rng(0)
    picks = rng.integers(len(gains), size=(_BOOTSTRAPS, len(gains)))
    final_picks = rng.integers(len(finals), size=(_BOOTSTRAPS, len(finals)))
    ratios = reach(images, gains[picks].mean(axis=1), finals[final_picks].mean(axis=1))
    (ratio,) = reach(images, gains.mean(axis=0)[None], finals.mean()[None])
    low, high = np.quantile(ratios, [0.025, 0.975], method="nearest")
    return Sooner(ratio=float(ratio), low=float(low), high=float(high))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the confirmation says.

    Attributes:
        metric: that decided.
        reference: the arm without a curriculum.
        reference_mean: its mean over the seeds that did not diverge.
        arm: what the verdict is about: the best of the arms found better than the reference, else the leader that did
            best; None before any leader has its seeds.
        main: that arm against the reference.
        order: what the order adds: the leader against its exposure-matched control, where the arm is one of the two.
        exposure: what training each noise level as often as the leader adds: the control against the reference.
        others: the comparison under each other metric, and whether it goes the same way.
        sooner: how much sooner the arm reaches the reference's final value.
        comparisons: all of them.
    """

    metric: str
    reference: str
    reference_mean: float
    arm: str | None
    main: Comparison | None
    order: Comparison | None
    exposure: Comparison | None
    others: Mapping[str, tuple[Comparison, Agreement]]
    sooner: Sooner | None
    comparisons: Mapping[Contrast, Comparison] = field(repr=False)

    @property
    def separable(self) -> bool:
        """Whether the arm is claimed to differ from the reference."""
        return self.main is not None and self.main.claimed

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.main is None:
            return f"No verdict yet: no leader has its seeds beside {self.reference}."
        parts = [self._headline(self.main)]
        if self.order is not None and self.exposure is not None:
            parts.append(f"exposure alone is {_effect(self.exposure)}, the order on top of it {_effect(self.order)}")
        parts += [f"{metric} {agreement}" for metric, (_, agreement) in self.others.items()]
        if self.sooner is not None:
            parts.append(self._speed(self.sooner))
        return "; ".join(parts) + "."

    def _headline(self, main: Comparison) -> str:
        seeds = f"{main.num_seeds} seeds"
        if main.diverged:
            seeds += f", of which {main.diverged} diverged"
        if not main.claimed:
            span = f"{main.difference:+.3g} [{main.low:+.3g}, {main.high:+.3g}]"
            return f"{self.arm} is not separable from {self.reference}: {span} in {self.metric} after {seeds}"
        share = abs(main.difference / self.reference_mean) if self.reference_mean else math.nan
        sure = "more than 99.9 %" if main.p_value < 0.001 else f"{1 - main.p_value:.1%}".replace("%", " %")
        return (
            f"{self.arm} is {'better' if main.better else 'worse'} than {self.reference} by {_span(main)} in "
            f"{self.metric} ({share:.0%}), with {sure} confidence over all arms and looks after {seeds}"
        ).replace("%)", " %)")

    def _speed(self, speed: Sooner) -> str:
        if not speed.ratio:
            return f"it does not reach the final value of {self.reference}"
        low, high = (f"1/{ratio:.2f}" if ratio else "never" for ratio in (speed.low, speed.high))
        return f"it reaches the final value of {self.reference} after 1/{speed.ratio:.2f} of the images [{low}, {high}]"


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
    found = [arm for arm, comparison in by_arm.items() if comparison.claimed and comparison.better]
    arm = _best(plan, found or [leader for leader in plan.leaders if leader in by_arm], by_arm)
    pair = next((item for item in plan.controls.items() if arm in item), None)
    agreement = {}
    for name, values in (others or {}).items():
        other = compare(plan, values).get(Contrast(arm=arm or "", against=plan.reference))
        if arm is not None and other is not None:
            agreement[name] = (other, _agreement(by_arm[arm], other))
    finals = [value for value in results.get(plan.reference, {}).values() if math.isfinite(value)]
    return Verdict(
        metric=metric,
        reference=plan.reference,
        reference_mean=float(np.mean(finals)) if finals else math.nan,
        arm=arm,
        main=by_arm[arm] if arm is not None else None,
        order=comparisons.get(Contrast(arm=pair[0], against=pair[1])) if pair else None,
        exposure=by_arm.get(pair[1]) if pair else None,
        others=agreement,
        sooner=sooner(plan, curves or {}, arm) if arm is not None else None,
        comparisons=comparisons,
    )


def _agreement(main: Comparison, other: Comparison) -> Agreement:
    if main.better == other.better:
        return "agrees" if other.claimed else "leans the same way"
    return "contradicts" if other.claimed else "leans the other way"


def _effect(comparison: Comparison) -> str:
    side = "better" if comparison.better else "worse"
    return f"{_span(comparison)} {side}" + ("" if comparison.claimed else " (not separable)")


def _span(comparison: Comparison) -> str:
    """The size of a difference with its interval, positive in the direction that it has."""
    low, high = sorted((comparison.low, comparison.high), reverse=comparison.difference < 0)
    flip = -1 if comparison.difference < 0 else 1
    return f"{abs(comparison.difference):.3g} [{flip * low + 0.0:.3g}, {flip * high + 0.0:.3g}]"
