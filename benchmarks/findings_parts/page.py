"""docs/findings.md: the template with the numbers of the records in it."""

import itertools
import math
import statistics
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from findings_parts.claims import claims
from findings_parts.contexts import ROOT, SEARCHED, STUDY, Context, read_contexts, read_rates
from findings_parts.effects import CHANCE, Outcome, detectable, family_confidence
from findings_parts.figure import draw
from findings_parts.records import (
    CONTEXTS,
    DIFFICULTY,
    DIFFICULTY_IMAGES,
    DIFFICULTY_SEEDS,
    SEARCHES,
    Records,
    read_records,
)

from curriculum_search.atomic import write_whole
from curriculum_search.loading import read_yaml
from curriculum_search.search.statistics.comparison import Comparison

PAGE, FIGURE = ROOT / "docs" / "findings.md", ROOT / "docs" / "findings.png"
TEMPLATE = Path(__file__).with_name("findings.md")
_NOTHING = "Not run yet."


def write_page() -> None:
    """Write the page, and its figure where any context has ended."""
    records = read_records()
    outcomes = outcomes_of(records, CONTEXTS)
    if outcomes:
        draw(outcomes, FIGURE)
    write_whole(PAGE, render(records, read_rates(), read_contexts()))
    print(f"{PAGE.relative_to(ROOT)}: {len(outcomes)} contexts", flush=True)


def outcomes_of(records: Records, part: str) -> dict[str, Outcome]:
    """The contexts, or the searches, that have ended, in the order in which they are run."""
    return {name: Outcome(name, records[part][name]) for name in read_contexts() if name in records[part]}


def render(records: Records, rates: Mapping[str, Mapping[str, Any]], contexts: Mapping[str, Context]) -> str:
    """The page.

    Args:
        records: what has been gathered.
        rates: the learning rates that were chosen, and what was tried.
        contexts: all there are, run or not.
    """
    outcomes, searches = outcomes_of(records, CONTEXTS), outcomes_of(records, SEARCHES)
    study = read_yaml(STUDY)["study"]
    confirmation = study["confirmation"]
    weighted = {name: o for name, o in outcomes.items() if "base.weighting" in contexts[name].overrides}
    plain = {name: o for name, o in outcomes.items() if name not in weighted}
    rows = claims(
        plain, {name: records[DIFFICULTY][name] for name in contexts if name in records[DIFFICULTY]}, weighted
    )
    confidence = family_confidence(confirmation["confidence"], len(contexts) + len(SEARCHED))
    return string.Template(TEMPLATE.read_text()).substitute(
        num_contexts=len(contexts),
        num_run=len(outcomes),
        run=", ".join(outcomes) or "none",
        not_run=", ".join(name for name in contexts if name not in outcomes) or "none",
        claims=_rows((row.claim, row.measured, f"**{row.verdict}**", row.scale) for row in rows),
        chance=f"{100 * CHANCE:.0f}",
        figure=f"![By context and arm, the whole effect, the exposure alone and the order on top of it]({FIGURE.name})"
        if outcomes
        else _NOTHING,
        first_seed=study["seed"] + 1,
        second_seed=study["seed"] + 2,
        min_seeds=confirmation["min_seeds"],
        max_seeds=confirmation["max_seeds"],
        family=f"{100 * confidence:.0f}",
        contexts="\n\n".join(map(_context, outcomes.values())) or _NOTHING,
        rates=_rates(rates),
        rate_seeds=max((len(tried) for rate in rates.values() for tried in rate["values"].values()), default=0),
        difficulty=_difficulty(records[DIFFICULTY]),
        difficulty_images=f"{DIFFICULTY_IMAGES:,}",
        difficulty_seeds=len(DIFFICULTY_SEEDS),
        searches=_searches(searches, outcomes),
    )


def _context(outcome: Outcome) -> str:
    """A context's heading, its verdict and its table."""
    objective, *others = outcome.metrics
    plan, record = outcome.plan, outcome.record
    head = ("arm", "mean ± sd (seeds)", "beside ordinary", "exposure", "order", "found from", *others, "images")
    rows = [("ordinary training", _value(outcome, plan.reference), "", "", "", "", *("" for _ in others), "")]
    for arm in outcome.arms:
        total, order = outcome.total(arm), outcome.order(arm)
        found = [detectable(c, plan) for c in (total, order) if c is not None]
        rows.append(
            (
                record["arms"][arm]["title"],
                _value(outcome, arm),
                _effect(total),
                _effect(outcome.exposure(arm)),
                _effect(order),
                " / ".join("-" if size is None else f"{size:.2g}" for size in found),
                *(_effect(outcome.total(arm, metric)) for metric in others),
                _images(outcome, arm),
            )
        )
    return (
        f"### {outcome.name}\n\n`{objective}`, {plan.direction.better} is better; {record['images']:,} images a run at "
        f"learning rate {record['learning_rate']:g}; {record['runs']['arms']} runs. {outcome.headline}\n\n"
        f"{_rows([head, ['---'] * len(head), *rows])}"
    )


def _value(outcome: Outcome, arm: str) -> str:
    lost = len(outcome.record["arms"][arm]["runs"]) - len(outcome.runs(arm))
    diverged = f", {lost} diverged" if lost else ""
    return f"{outcome.mean(arm):.3g} ± {outcome.spread(arm):.2g} ({len(outcome.runs(arm))}{diverged})"


def _effect(comparison: Comparison | None) -> str:
    """A difference with its interval, bold where it is claimed."""
    if comparison is None:
        return ""
    if not math.isfinite(comparison.difference):
        return "all diverged"
    text = f"{comparison.difference:+.2g} [{comparison.low:+.2g}, {comparison.high:+.2g}]"
    return f"**{text}**" if comparison.claimed else text


def _images(outcome: Outcome, arm: str) -> str:
    found = outcome.sooner(arm)
    if found is None:
        return ""
    shares = [f"{100 / ratio:.0f} %" if ratio else "never" for ratio in (found.ratio, found.high, found.low)]
    return f"{shares[0]} [{shares[1]}, {shares[2]}]"


def _rates(rates: Mapping[str, Mapping[str, Any]]) -> str:
    if not rates:
        return _NOTHING
    tried = sorted({rate for kept in rates.values() for rate in kept["values"]}, key=float)
    lines: list[Sequence[str]] = [("context", "metric", *tried, ""), ["---"] * (len(tried) + 3)]
    for name, kept in rates.items():
        means = {rate: statistics.fmean(values) for rate, values in kept["values"].items()}
        bold = f"{kept['learning_rate']:g}"
        cells = [
            f"**{means[rate]:.3g}**" if rate == bold else f"{means[rate]:.3g}" if rate in means else "-"
            for rate in tried
        ]
        edge = "at the edge of what was tried" if bold in (tried[0], tried[-1]) else ""
        lines.append((name, f"`{kept['metric']}`", *cells, edge))
    return _rows(lines)


def _difficulty(records: Mapping[str, Mapping[str, Any]]) -> str:
    if not records:
        return _NOTHING
    edges = next(iter(records.values()))["edges"]
    heads = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(edges)]
    lines: list[Sequence[str]] = [("context", *heads), ["---"] * (len(heads) + 1)]
    for name, record in records.items():
        columns = zip(*record["difficulty"].values(), strict=True)
        lines.append((name, *(f"{statistics.fmean(column):.2f}" for column in columns)))
    return _rows(lines)


def _searches(searches: Mapping[str, Outcome], outcomes: Mapping[str, Outcome]) -> str:
    """What each search found, beside the best of the fixed arms of its context, and what both cost."""
    if not searches:
        return f"{_NOTHING} It is to be run in {' and '.join(SEARCHED)}."
    head = (
        "context",
        "its best",
        "beside ordinary",
        "exposure",
        "order",
        "runs",
        "images",
        "best fixed arm",
        "its runs",
        "images",
    )
    lines: list[Sequence[str]] = [head, ["---"] * len(head)]
    for name, search in searches.items():
        arm, record = search.verdict.arm, search.record
        leader = arm if arm in search.arms else next(iter(search.arms), "")
        if not leader:
            lines.append((name, "no curriculum", *["-"] * (len(head) - 2)))
            continue
        fixed = outcomes.get(name)
        runs = record["runs"]
        beside = ["not run yet", "", ""]
        if fixed is not None:
            best = fixed.plan.direction.best(fixed.arms, fixed.mean)
            beside = [f"{best}: {_effect(fixed.total(best))}", f"{fixed.record['runs']['arms']}", _millions(fixed)]
        title = record["arms"][leader]["title"]
        found = [_effect(c) for c in (search.total(leader), search.exposure(leader), search.order(leader))]
        lines.append((name, title, *found, f"{runs['search']} + {runs['arms']}", _millions(search), *beside))
    return _rows(lines)


def _millions(outcome: Outcome) -> str:
    return f"{outcome.record['images_of_all'] / 1e6:.1f} M"


def _rows(lines: Iterable[Iterable[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
