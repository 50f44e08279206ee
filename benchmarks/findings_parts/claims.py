"""What the paper claims, and Wu, Dyer & Neyshabur (2021) doubt, beside what was measured here: a verdict for each.

Every verdict follows from counts of comparisons: one alone decides nothing, and a comparison that separates nothing
counts as that, not as a refutation.  The comparisons hold together, over all contexts.
"""

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from findings_parts.effects import Outcome, detectable, side
from scipy.special import stdtrit

from curriculum_search.search.statistics.comparison import Comparison

HOLDS, DOES_NOT, OPEN, DEPENDS = "holds", "does not", "not separable", "depends on context and arm"
NOT_RUN, OUT_OF_REACH = "not run yet", "out of reach here"

PAPER = ("paper",)
EASY, HARD, RANDOM = ("easy_quarter", "easy_half"), ("hard_quarter", "hard_half"), ("random_half",)
CONSTANT = ("min_snr", "p2", "logit_normal", "speed")
#: Cases in which difficulty is measured, over which its intervals hold together.
DIFFICULTIES = 8
_ERROR = 0.05

#: An arm of a context, and its comparison.
Case = tuple[Outcome, Comparison]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A row of the table.

    Attributes:
        claim: what is claimed.
        measured: what was measured here.
        verdict: holds, does not, not separable, depends on context and arm, not run yet, or out of reach here; or how
            it is divided.
        scale: why another scale may say otherwise.
    """

    claim: str
    measured: str
    verdict: str
    scale: str


def verdict(words: Sequence[str]) -> str:
    """What single verdicts come to: one side where most are on it and none is on the other."""
    counts = Counter(words)
    if not counts:
        return NOT_RUN
    if counts[HOLDS] and counts[DOES_NOT]:
        return DEPENDS
    found = HOLDS if counts[HOLDS] else DOES_NOT if counts[DOES_NOT] else OPEN
    if found is OPEN or 2 * counts[found] > len(words):
        return found
    return f"{OPEN} in most, {found} in {counts[found]} of {len(words)}"


def words_of(cases: Iterable[Case], *, if_better: str) -> list[str]:
    """The verdict of each comparison, where `if_better` is what a better arm means for the claim."""
    other = DOES_NOT if if_better == HOLDS else HOLDS
    return [{"better": if_better, "worse": other}.get(side(comparison), OPEN) for _, comparison in cases]


def counted(cases: Sequence[Case]) -> str:
    """What was found, with the sizes: differences in per cent of ordinary training's mean, and what a null means."""
    if not cases:
        return "-"
    counts = Counter(side(comparison) for _, comparison in cases)
    words = ", ".join(f"{counts[name]} {name}" for name in ("better", "worse", OPEN) if counts[name])
    shares = [_share(outcome, comparison.difference) for outcome, comparison in cases]
    known = [share for share in shares if math.isfinite(share)]
    text = f"of {_count(cases, 'comparison')} {words}"
    if known:
        text += f"; {_range(known, '+')}"
    if nulls := [(outcome, comparison) for outcome, comparison in cases if side(comparison) == OPEN]:
        least = [_share(o, size) for o, c in nulls if (size := detectable(c, o.plan)) is not None]
        text += (
            f"; in those not separable {min(least):.0f} to {max(least):.0f} % would have been found" if least else ""
        )
    return text


def _count(items: Sequence[object], noun: str) -> str:
    return f"{len(items)} {noun}{'s' * (len(items) != 1)}"


def _range(shares: Sequence[float], sign: str = "") -> str:
    ends = [f"{share:{sign}.0f} %" for share in (min(shares), max(shares))]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _share(outcome: Outcome, difference: float) -> float:
    """In per cent of ordinary training's mean."""
    return 100 * difference / abs(outcome.mean(outcome.plan.reference))


def claims(
    outcomes: Mapping[str, Outcome], difficulty: Mapping[str, Mapping[str, Any]], others: Mapping[str, Outcome]
) -> list[Claim]:
    """All rows.

    Args:
        outcomes: by context, those in which ordinary training has no loss weight.
        difficulty: of noise levels, by context.
        others: contexts in which all arms have Min-SNR's weight.
    """
    runs = list(outcomes.values())
    easy, hard, random = (_totals(runs, arms) for arms in (EASY, HARD, RANDOM))
    ordered = [(outcome, order) for outcome in runs for arm in (*EASY, *HARD, *RANDOM) if (order := outcome.order(arm))]
    exposed = [(o, exposure) for o in runs for arm in (*EASY, *HARD, *RANDOM) if (exposure := o.exposure(arm))]
    beside_easy = [o.direct(h, e) for o in runs for h, e in zip(HARD, EASY, strict=True)]
    random_easy = [o.direct(RANDOM[0], "easy_half") for o in runs]
    weighted = _totals(list(others.values()), (*PAPER, *EASY))
    return [
        _low_noise(difficulty),
        Claim(
            claim="The published setting, at its share of the run, ends better than ordinary training",
            measured=counted(_totals(runs, PAPER)),
            verdict=verdict(words_of(_totals(runs, PAPER), if_better=HOLDS)),
            scale="2 % of these runs are a few steps; in the paper's 400,000 they are thousands",
        ),
        Claim(
            claim="Easy to hard, over a quarter or half of the run, converges faster than ordinary training",
            measured=f"{counted(easy)}{_reached(runs, EASY)}",
            verdict=verdict(words_of(easy, if_better=HOLDS)),
            scale="these runs end long before they converge; what is left of a lead, or a lag, at the end may fade",
        ),
        Claim(
            claim="The anti-curriculum, hard to easy, is worse than ordinary training",
            measured=counted(hard),
            verdict=verdict(words_of(hard, if_better=DOES_NOT)),
            scale="a short run gains most from the levels that a sampler of few steps uses most",
        ),
        Claim(
            claim="The anti-curriculum is worse than the curriculum of the same length",
            measured=_directly(beside_easy, "hard to easy"),
            verdict=verdict([_DIRECT[word] for word in beside_easy]),
            scale="as above",
        ),
        Claim(
            claim="What a curriculum changes is due to the order, and not to how often each level is trained",
            measured=f"order beside the same exposure: {counted(ordered)}. Exposure alone: {counted(exposed)}",
            verdict=_order_or_exposure(ordered, exposed),
            scale="an order can help to learn features that later levels reuse, of which a larger network has more",
        ),
        Claim(
            claim="A random order does as well as easy to hard (Wu et al.'s doubt)",
            measured=_directly(random_easy, "the random order"),
            verdict=verdict([{"better": HOLDS, "worse": DOES_NOT}.get(word, OPEN) for word in random_easy]),
            scale="one random order of 20 clusters, the same for all seeds; random beside ordinary training: "
            f"{counted(random)}",
        ),
        _constant(runs),
        Claim(
            claim="A curriculum from easy to hard adds to Min-SNR",
            measured=counted(weighted),
            verdict=verdict(words_of(weighted, if_better=HOLDS)),
            scale="as above",
        ),
        _metrics(runs),
        Claim(
            claim="FID on FFHQ, ImageNet and MS-COCO with DiT, EDM and SiT at the paper's budgets",
            measured="nothing",
            verdict=OUT_OF_REACH,
            scale="the same files, with other data and a cluster, are that version",
        ),
    ]


_DIRECT = {"better": DOES_NOT, "worse": HOLDS, OPEN: OPEN}


def _totals(outcomes: Sequence[Outcome], arms: Sequence[str]) -> list[Case]:
    return [(outcome, outcome.total(arm)) for outcome in outcomes for arm in arms if arm in outcome.arms]


def _directly(words: Sequence[str], subject: str) -> str:
    if not words:
        return "-"
    counts = Counter(words)
    return f"of {_count(words, 'pair')}, {subject} is " + ", ".join(
        f"{name} in {counts[name]}" for name in ("better", "worse", OPEN) if counts[name]
    )


def _reached(outcomes: Sequence[Outcome], arms: Sequence[str]) -> str:
    ratios = [found.ratio for outcome in outcomes for arm in arms if (found := outcome.sooner(arm)) is not None]
    never = sum(ratio == 0 for ratio in ratios)
    needed = [100 / ratio for ratio in ratios if ratio]
    text = f"; ordinary training's end is reached with {_range(needed)} of the images" if needed else ""
    return text + (f"; in {never} of {len(ratios)} never" if never else "")


def _order_or_exposure(ordered: Sequence[Case], exposed: Sequence[Case]) -> str:
    """The order's own verdict: it holds where an order is claimed to change something, for better or worse."""
    if not ordered:
        return NOT_RUN
    by_order = sum(comparison.claimed for _, comparison in ordered)
    by_exposure = sum(comparison.claimed for _, comparison in exposed)
    if not by_order and not by_exposure:
        return OPEN
    if not by_order:
        return DOES_NOT
    return f"{DEPENDS}: order is shown in {by_order}, exposure in {by_exposure} of {len(ordered)}"


def _constant(outcomes: Sequence[Outcome]) -> Claim:
    words = []
    for outcome in outcomes:
        sign = outcome.plan.sign
        ends = {arm: sorted((sign * c.low, sign * c.high)) for arm in outcome.arms for c in [outcome.total(arm)]}
        curricula, constant = ([ends[arm] for arm in ends if (arm in CONSTANT) is kind] for kind in (False, True))
        if max(low for low, _ in curricula) > max(high for _, high in constant):
            words.append(HOLDS)
        elif max(low for low, _ in constant) > max(high for _, high in curricula):
            words.append(DOES_NOT)
        else:
            words.append(OPEN)
    best = ", ".join(f"{outcome.name}: {outcome.best_arm}" for outcome in outcomes)
    constants = counted(_totals(outcomes, CONSTANT))
    return Claim(
        claim="A curriculum is better than every constant alternative (Min-SNR, P2, logit-normal, SpeeD)",
        measured=f"best mean: {best}. Constant alternatives beside ordinary training: {constants}" if outcomes else "-",
        verdict=verdict(words),
        scale="the alternatives have their published constants, which were chosen on other data",
    )


def _metrics(outcomes: Sequence[Outcome]) -> Claim:
    words = []
    for outcome in outcomes:
        first, *others = outcome.metrics
        for metric, arm in itertools.product(others, outcome.arms):
            sides = {side(outcome.total(arm, name)) for name in (first, metric)}
            words.append(HOLDS if len(sides) == 1 else OPEN if OPEN in sides else DOES_NOT)
    counts = Counter(words)
    return Claim(
        claim="The answer is the same under another metric",
        measured=f"of {_count(words, 'comparison')} {counts[HOLDS]} with the same verdict under both metrics, "
        f"{counts[OPEN]} separable under one alone, {counts[DOES_NOT]} of opposite sign"
        if words
        else "-",
        verdict=verdict(words),
        scale="each metric sees faults that the other does not",
    )


def _low_noise(difficulty: Mapping[str, Mapping[str, Any]]) -> Claim:
    """Difficulty of the cleaner half of the levels less that of the noisier half, over seeds (Student's t)."""
    words, shown = [], []
    for name, record in difficulty.items():
        gaps = []
        for values in record["difficulty"].values():
            half = len(values) // 2
            gaps.append(statistics.fmean(values[:half]) - statistics.fmean(values[half:]))
        width = (
            statistics.stdev(gaps) / math.sqrt(len(gaps)) * float(stdtrit(len(gaps) - 1, 1 - _ERROR / DIFFICULTIES / 2))
        )
        mean = statistics.fmean(gaps)
        words.append(HOLDS if mean - width > 0 else DOES_NOT if mean + width < 0 else OPEN)
        shown.append(f"{name.removesuffix('-short')} {mean:+.2f} [{mean - width:+.2f}, {mean + width:+.2f}]")
    return Claim(
        claim="Low noise is harder to learn",
        measured="difficulty of the cleaner half less that of the noisier half, of a mean of 1: " + "; ".join(shown)
        if shown
        else "-",
        verdict=verdict(words),
        scale="a network that ends before the clean levels are learned shows less of their difficulty",
    )
