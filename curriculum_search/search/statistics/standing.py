"""How a confirmation stands while it goes on: only what may be looked at as often as one likes."""

import math
from collections.abc import Mapping

from scipy.special import ndtr, stdtrit

from curriculum_search.runs.progress import Standing
from curriculum_search.search.statistics.comparison import Comparison, Contrast, Plan, Results, compare
from curriculum_search.search.statistics.sequential import sup_quantile


def repeated_interval(plan: Plan, contrast: Contrast, comparison: Comparison) -> tuple[float, float]:
    """The interval of a difference that holds at every look, over all arms (Jennison & Turnbull 1989).

    That of a comparison which is not claimed, `Comparison.low` and `high`, is of one look alone, so it is for the end
    of a confirmation.
    """
    if comparison.claimed or not math.isfinite(comparison.error):
        return comparison.low, comparison.high
    level = (1 - plan.confidence) * plan.contrasts[contrast]
    tail = float(ndtr(-sup_quantile(level) / math.sqrt(comparison.num_seeds / plan.max_seeds)))
    width = -float(stdtrit(comparison.freedom, max(tail, 1e-300))) * comparison.error
    return (
        comparison.difference - width if math.isfinite(comparison.low) else -math.inf,
        comparison.difference + width if math.isfinite(comparison.high) else math.inf,
    )


def standing(plan: Plan, results: Results, titles: Mapping[str, str], *, metric: str) -> Standing:
    """The arms by now: their seeds, their means, and their differences from the reference.

    Args:
        plan: what is compared.
        results: final values by now.
        titles: of the arms that there are by now, by name.
        metric: that decides.
    """
    comparisons = compare(plan, results)
    columns: dict[str, list[str]] = {"arm": [], "seeds": [], metric: [], "beside no curriculum": []}
    for arm, shown in titles.items():
        values = [value for value in results.get(arm, {}).values() if math.isfinite(value)]
        ended = len(results.get(arm, {}))
        contrast = Contrast(arm=arm, against=plan.reference)
        if arm == plan.reference:
            beside = ""
        elif contrast in comparisons:
            beside = _beside(plan, contrast, comparisons[contrast])
        else:
            beside = "not yet"
        lost = f" ({ended - len(values)} diverged)" if ended > len(values) else ""
        cells = (shown, f"{ended}{lost}", f"{sum(values) / len(values):.4g}" if values else "-", beside)
        for column, cell in zip(columns.values(), cells, strict=True):
            column.append(cell)
    meaning = (
        f"  differences from {plan.min_seeds} seeds on ({plan.seeds_of(plan.reference, plan.min_seeds)} without a "
        f"curriculum), intervals hold at every look, {100 * plan.confidence:.4g} % over all arms; "
        f"{plan.direction.better} is better"
    )
    return Standing(columns=columns, meaning=meaning)


def _beside(plan: Plan, contrast: Contrast, comparison: Comparison) -> str:
    if not math.isfinite(comparison.difference):
        return "no size: all of its runs, or all without a curriculum, diverged"
    low, high = repeated_interval(plan, contrast, comparison)
    bounds = ", ".join(f"{bound:+.2g}" if math.isfinite(bound) else "no bound" for bound in (low, high))
    found = (" better" if comparison.better else " worse") if comparison.claimed else ""
    return f"{comparison.difference:+.2g} [{bounds}]{found}"
