"""A verdict in words: a headline that can be repeated, and the lines below it.

What is claimed has a side ("14 % lower"); what is not has a sign and the side is left open ("-5 %").  Sizes are shares
of the other arm's mean where there is one (`comparison.Relative`), and else in units of the metric.
"""

import math

from curriculum_search.report import VerdictLayers
from curriculum_search.search.arms import NO_CURRICULUM
from curriculum_search.search.statistics.comparison import Comparison
from curriculum_search.search.statistics.power import CHANCE, MOST_SEEDS, seeds_needed, separable
from curriculum_search.search.statistics.verdict import Sooner, Verdict

REFERENCE = "ordinary training"
_NAMES: dict[str, str] = {
    NO_CURRICULUM: REFERENCE,
    "published": "the published curriculum",
    "reversed": "the reversed curriculum",
    "random_order": "a random order",
}
_NAME_WORDS = 3  # of an arm in a headline


def describe(verdict: Verdict, *, best: str, density: str = "") -> VerdictLayers:
    """Put a verdict into words.

    Args:
        verdict: of a confirmation.
        best: the file that is exported.
        density: the file of the leader's exposure-matched control, where that is exported beside it.
    """
    return VerdictLayers(
        headline=_headline(verdict),
        order=_order(verdict),
        metrics=_metrics(verdict),
        sooner=_sooner(verdict, verdict.sooner),
        next_step=_next(verdict, best, density),
        fine_print=tuple(_fine_print(verdict)),
    )


def unconfirmed(arm: str, *, tries: str) -> VerdictLayers:
    """What can be said of a study without a confirmation.

    Args:
        arm: the best of the search.
        tries: how often each was tried, as in "one seed each".
    """
    name = _capital(_NAMES.get(arm, _short(arm)))
    return VerdictLayers(
        headline=f"{name} came out best of the search, {tries}; nothing was confirmed.",
        order="not told: no exposure-matched control was trained.",
        metrics="not told.",
        sooner="not told.",
        next_step="confirm it on fresh seeds: study.confirmation.leaders is 0.",
        fine_print=("The best of many noisy tries looks better than it is.",),
    )


def arm_name(verdict: Verdict, arm: str) -> str:
    """An arm as sentences have it, in at most five words."""
    if arm == verdict.plan.reference:
        return REFERENCE
    leader = next((leader for leader, control in verdict.plan.controls.items() if control == arm), None)
    return f"{_short(leader)}'s exposure alone" if leader is not None else _NAMES.get(arm, _short(arm))


def _short(arm: str) -> str:
    words = arm.replace("_", " ").split()
    return " ".join(words[:_NAME_WORDS]) + ("…" if len(words) > _NAME_WORDS else "")


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


# The headline.


def _headline(verdict: Verdict) -> str:
    main = verdict.main
    if main is None or verdict.arm is None:
        if not verdict.plan.leaders:
            return "No verdict: the search has found no curriculum to confirm."
        return f"No verdict yet: no leader has its seeds beside {REFERENCE}."
    name, metric = _capital(arm_name(verdict, verdict.arm)), "_".join(verdict.metric.split())
    if not math.isfinite(main.difference):
        return _unsized(arm_name(verdict, verdict.arm), main)
    after = f"{main.num_seeds} seeds"
    if not main.claimed:
        size = f"{metric} {_signed(main, verdict)}"
        return f"{name} is not separable from {REFERENCE}: {size}, {after}."
    verb = "beats" if main.better else "loses to"
    if not _agrees(main, verdict):
        return f"{name} {verb} {REFERENCE} in {metric}, though later seeds lean the other way, {after}."
    return f"{name} {verb} {REFERENCE}: {_sided(main, verdict, metric)}, {after}."


def _unsized(arm: str, main: Comparison) -> str:
    """Where all runs of an arm diverged."""
    name = _capital(arm)
    ours = main.diverged == main.num_seeds
    if ours and main.against_diverged == main.against_seeds:
        return f"No verdict on {arm}: all its runs and all of {REFERENCE} diverged."
    if not main.claimed:
        whose = f"{main.num_seeds} of its" if ours else f"{main.against_seeds} of the latter's"
        return f"{name} is not separable from {REFERENCE}, though all {whose} runs diverged."
    if ours:
        return f"{name} loses to {REFERENCE}: all {main.num_seeds} of its runs diverged."
    return f"{name} beats {REFERENCE}, all {main.against_seeds} of whose runs diverged."


# Sizes.


def _agrees(comparison: Comparison, verdict: Verdict) -> bool:
    """Whether the last means lie on the side that is claimed; early looks can have decided otherwise."""
    return verdict.plan.sign * comparison.difference * (1 if comparison.better else -1) > 0


def _sided(comparison: Comparison, verdict: Verdict, metric: str = "") -> str:
    """A claimed difference, as "14 % lower fd (95 %: 2 to 26 %)"."""
    flip = -1 if comparison.difference < 0 else 1
    side = "lower" if flip < 0 else "higher"
    sure = _sure(verdict)
    if comparison.relative is not None:
        share = comparison.relative
        low, high = sorted((flip * share.low, flip * share.high))
        size = f"{_percent(abs(share.value))} % {side}" + (f" {metric}" if metric else "")
        return f"{size} ({sure}: {_range(_percent(low), _percent(high), low, high)} %)"
    low, high = sorted((flip * comparison.low, flip * comparison.high))
    size = f"{metric} {side} by {abs(comparison.difference):.3g}".strip()
    return f"{size} ({sure}: {_range(f'{low:.3g}', f'{high:.3g}', low, high)})"


def _signed(comparison: Comparison, verdict: Verdict) -> str:
    """A difference of which nothing is claimed, as "-5 % (95 %: -61 to +52 %)"."""
    value, low, high = comparison.difference, comparison.low, comparison.high
    if not math.isfinite(value):
        return f"no size, as all runs of {'both' if math.isnan(value) else 'one of the two'} diverged"
    if (share := comparison.relative) is not None:
        value, low, high = share.value, share.low, share.high
        shown, unit = [_percent(x, signed=True) for x in (value, low, high)], " %"
    else:
        shown, unit = [f"{x:+.3g}" if x else "0" for x in (value, low, high)], ""
    size = f"{shown[0]}{unit}"
    if math.isinf(low) and math.isinf(high):
        return f"{size} (no interval: seeds change nothing)"
    return f"{size} ({_sure(verdict)}: {_range(shown[1], shown[2], low, high)}{unit})"


def _range(lowest: str, highest: str, low: float, high: float) -> str:
    if math.isinf(high):
        return f"at least {lowest}"
    return f"at most {highest}" if math.isinf(low) else f"{lowest} to {highest}"


def _percent(share: float, *, signed: bool = False) -> str:
    """A share in percent, to two digits or to the whole."""
    percent = 100 * share
    if not percent:
        return "0"
    return f"{percent:{'+' if signed else ''}{'.0f' if abs(percent) >= 10 else '.2g'}}"


def _sure(verdict: Verdict) -> str:
    return f"{100 * verdict.plan.confidence:.4g} %"


def _size(comparison: Comparison, verdict: Verdict) -> str:
    sided = comparison.claimed and math.isfinite(comparison.difference) and _agrees(comparison, verdict)
    return _sided(comparison, verdict) if sided else _signed(comparison, verdict)


# The lines below it.


def _order(verdict: Verdict) -> str:
    order, exposure = verdict.order, verdict.exposure
    if order is None or exposure is None:
        paired = verdict.arm in {*verdict.plan.controls, *verdict.plan.controls.values()}
        if verdict.arm is None or paired:
            return "not told: the exposure-matched control has too few seeds."
        return f"not told: {arm_name(verdict, verdict.arm)} has no exposure-matched control."
    if order.claimed:
        lead = "the order matters" if order.better else "the order costs"
    else:
        lead = "exposure is shown, an order on top is not" if exposure.claimed and exposure.better else "not told apart"
    beside = _standing(exposure, verdict, better=f"beats {REFERENCE}", worse=f"loses to {REFERENCE}")
    on_top = _standing(order, verdict, better="gains", worse="costs")
    return f"{lead}; exposure alone {beside}, the order on top of it {on_top}."


def _standing(comparison: Comparison, verdict: Verdict, *, better: str, worse: str) -> str:
    words = (better if comparison.better else worse) if comparison.claimed else "is not separable"
    return f"{words}: {_size(comparison, verdict)}"


def _metrics(verdict: Verdict) -> str:
    if verdict.main is None:
        return "not told."
    opinions = [f"{metric} {_opinion(verdict.main, other, verdict)}" for metric, other in verdict.others.items()]
    return "; ".join(opinions) + "." if opinions else f"none was measured beside {verdict.metric}."


def _opinion(main: Comparison, other: Comparison, verdict: Verdict) -> str:
    """What another metric says of the main comparison, in a test of its own."""
    size = _size(other, verdict)
    if not main.claimed:
        if other.claimed:
            return f"alone finds it {'better' if other.better else 'worse'}: {size}"
        return f"does not separate them either: {size}"
    if other.claimed:
        return f"{'agrees' if main.better == other.better else 'contradicts'}: {size}"
    return f"does not confirm it: {size}"


def _sooner(verdict: Verdict, speed: Sooner | None) -> str:
    if speed is None or verdict.arm is None:
        return "not told: that takes the curves of two seeds of both."
    name = arm_name(verdict, verdict.arm)
    # A ratio of 0 says never; the highest ratio is the soonest.
    soonest, latest = (f"{100 / ratio:.0f}" if ratio else "" for ratio in (speed.high, speed.low))
    of_images = " of the images" if not speed.ratio else ""  # else it has been said before
    if not soonest:
        doubt = "never"
    elif not latest:
        doubt = f"{soonest} %{of_images} to never"
    else:
        doubt = f"{soonest if soonest == latest else f'{soonest} to {latest}'} %{of_images}"
    if not speed.ratio:
        return f"{name} does not reach the final value of {REFERENCE} (95 %: {doubt})."
    share = f"{100 / speed.ratio:.0f} % of the images"
    return f"{name} reaches the final value of {REFERENCE} with {share} (95 %: {doubt})."


def _next(verdict: Verdict, best: str, density: str) -> str:
    main, arm = verdict.main, verdict.arm
    if main is None or arm is None:
        if not verdict.plan.leaders:
            return f"search more: raise study.trials, or widen the space; {best} is {REFERENCE}."
        return "run the same command again, with a larger budget where this one is used up."
    if main.claimed and main.better:
        against = [metric for metric, other in verdict.others.items() if other.claimed and not other.better]
        doubt = f"look at the samples first, for {' and '.join(against)} found it worse; then " if against else ""
        if density:
            return f"{doubt}try {density}, which is simpler to train and not shown to be worse{_order_seeds(verdict)}."
        simpler = ": a constant density, simpler than a curriculum" if arm in verdict.plan.controls.values() else ""
        return f"{doubt}train with {best}{simpler}{_order_seeds(verdict)}."
    if main.claimed:
        return f"keep {REFERENCE}, which {best} is; search more trials, or a wider space."
    advice = _more_seeds(verdict, main)
    if not main.better:
        return f"keep {REFERENCE}, which {best} is; {advice}."
    simpler = f", and {density}, its exposure alone, is not shown to be worse" if density else ""
    return f"{best} is ahead and unproven{simpler}; {advice}."


def _order_seeds(verdict: Verdict) -> str:
    """What would tell the order apart, where it has not been."""
    order = verdict.order
    if order is None or order.claimed or not _has_spread(order):
        return ""
    return f"; for the order, {_more_seeds(verdict, order)}"


def _more_seeds(verdict: Verdict, comparison: Comparison) -> str:
    """How many more seeds would separate which difference, by `power`."""
    if not _has_spread(comparison):
        return "more seeds tell nothing more, as they change nothing"
    seen = abs(comparison.difference) / comparison.spread
    needed = seeds_needed(comparison, comparison.difference)
    chance = f"in {10 * CHANCE:.0f} of 10 studies"
    if needed is not None:
        more = max(needed - comparison.num_seeds, 1)
        return (
            f"{more} more seeds an arm (study.confirmation.max_seeds={comparison.num_seeds + more}) would separate "
            f"{seen:.2g} sd, the difference seen, {chance}"
        )
    most = max(verdict.plan.max_seeds, comparison.num_seeds)
    found = separable(comparison, most) / comparison.spread
    return (
        f"{seen:.2g} sd, the difference seen, would take more than {MOST_SEEDS} seeds an arm; "
        f"{most} separate {found:.2g} sd {chance}"
    )


def _has_spread(comparison: Comparison) -> bool:
    return math.isfinite(comparison.error) and math.isfinite(comparison.difference)


# The fine print.


def _fine_print(verdict: Verdict) -> list[str]:
    main = verdict.main
    if main is None or verdict.arm is None:
        return []
    words = []
    if math.isfinite(main.difference):
        p_value = "p < 0.001" if main.p_value < 0.001 else f"p = {main.p_value:.3f}"
        ours = main.against_mean + main.difference
        words.append(
            f"{verdict.metric}: {ours:.4g} over {main.num_seeds} seeds beside {main.against_mean:.4g} over "
            f"{main.against_seeds}, {p_value} over all arms and looks."
        )
    if main.diverged or main.against_diverged:
        words.append(_capital(_diverged(verdict, main)) + ".")
    for leader, comparison in verdict.leaders.items():
        standing = "too few seeds" if comparison is None else _leader(comparison, verdict)
        words.append(f"{_capital(_short(leader))} beside {REFERENCE}: {standing}.")
    words.append(
        f"Intervals are of {_sure(verdict)} over all arms, those of claims over all looks too; shares are of the mean "
        f"that is compared with, with its own uncertainty; sd is over seeds."
    )
    shown = [c for c in (main, verdict.order, verdict.exposure, *verdict.others.values()) if c is not None]
    if any(not c.claimed and not c.low <= 0 <= c.high for c in shown):
        words.append("The interval of what is not claimed is of one look, so it can leave out 0.")
    return words


def _leader(comparison: Comparison, verdict: Verdict) -> str:
    side = ("better" if comparison.better else "worse") if comparison.claimed else "not separable"
    return f"{side}, {_size(comparison, verdict)}"


def _diverged(verdict: Verdict, main: Comparison) -> str:
    """Whose runs diverged, and what that means."""
    name = arm_name(verdict, verdict.arm or "")
    counts = (
        (main.diverged, main.num_seeds, f"{name}'s runs"),
        (main.against_diverged, main.against_seeds, f"the runs of {REFERENCE}"),
    )
    named = [f"{'all' if k == n else f'{k} of {n}'} of {whose}" for k, n, whose in counts if k]
    words = " and ".join(named) + " diverged"
    if math.isfinite(main.difference):
        words += f" and count{'s' * (main.diverged + main.against_diverged == 1)} as the worst value of the two"
    if math.isinf(main.low) != math.isinf(main.high):
        ours = main.diverged * main.against_seeds > main.against_diverged * main.num_seeds
        words += f", {name if ours else REFERENCE} so much more often that it is not called better"
    return words
