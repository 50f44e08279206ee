"""What a verdict says: true in every kind of outcome, and short enough to be repeated."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.confirmations import FLAT, PLAN, full

from curriculum_search.direction import Direction
from curriculum_search.report import MOST_WORDS, VerdictLayers
from curriculum_search.search.results.words import _sooner, arm_name, describe, unconfirmed
from curriculum_search.search.statistics.comparison import Comparison, Plan, Results
from curriculum_search.search.statistics.power import power_at
from curriculum_search.search.statistics.verdict import Sooner, Verdict, judge

UP = replace(PLAN, direction=Direction.MAXIMIZE)
ALONE = Plan(reference="none", leaders=("A",), max_seeds=10)


def words_of(plan: Plan, results: Results, *, metric: str = "fd", **others: Results) -> tuple[Verdict, VerdictLayers]:
    verdict = judge(plan, results, metric=metric, others=others)
    density = "best_density.yaml" if verdict.control else ""
    return verdict, describe(verdict, best="best.yaml", density=density)


def headline(plan: Plan, means: Mapping[str, float], *, metric: str = "fd", noise: float = 1.0) -> str:
    return words_of(plan, full(plan, means, noise=noise), metric=metric)[1].headline


def lost(results: Mapping[str, Mapping[int, float]], *arms: str) -> dict[str, dict[int, float]]:
    """All runs of some arms diverged."""
    return {a: dict.fromkeys(values, math.nan) if a in arms else dict(values) for a, values in results.items()}


@pytest.mark.parametrize(
    ("plan", "means", "words"),
    [
        (PLAN, {"A": 4.0}, r"A beats ordinary training: \d\d % lower fd \(95 %: \d\d to \d\d %\), 10 seeds\."),
        (PLAN, {"A": 14.0}, r"A loses to ordinary training: \d\d % higher fd \(95 %: \d\d to \d\d %\), 10 seeds\."),
        (UP, {"A": 14.0}, r"A beats ordinary training: \d\d % higher fd \(95 %: \d\d to \d\d %\), 10 seeds\."),
        (UP, {"A": 4.0}, r"A loses to ordinary training: \d\d % lower fd \(95 %: \d\d to \d\d %\), 10 seeds\."),
        (PLAN, {}, r"A is not separable from ordinary training: fd \S+ % \(95 %: -\S+ to \+\S+ %\), 10 seeds\."),
        (ALONE, {"A": 4.0}, r"A beats ordinary training: \d\d % lower fd \(95 %: \d\d to \d\d %\), 10 seeds\."),
        (
            PLAN,
            {"A": 8.9, "A / exposure": 4.0},
            r"A's exposure alone beats ordinary training: \d\d % lower fd \(95 %: \d\d to \d\d %\), 10 seeds\.",
        ),
        (
            PLAN,
            {"reversed": 4.0},
            r"The reversed curriculum beats ordinary training: \d\d % lower fd \(95 %: \d\d to \d\d %\), 10 seeds\.",
        ),
        (
            UP,
            dict.fromkeys(FLAT, 0.05) | {"A": 4.0},
            r"A beats ordinary training: fd higher by [\d.]+ \(95 %: [\d.]+ to [\d.]+\), 10 seeds\.",
        ),
        (
            PLAN,
            {"none": 0.0, "A": 0.1},
            r"A is not separable from ordinary training: fd [-+][\d.]+ \(95 %: -[\d.]+ to \+[\d.]+\), 10 seeds\.",
        ),
    ],
)
def test_every_outcome_has_a_headline_of_its_own(plan: Plan, means: dict[str, float], words: str) -> None:
    said = headline(plan, dict.fromkeys((plan.reference, *plan.arms), 9.0) | means)
    assert re.fullmatch(words, said), said


def test_where_runs_diverged_the_headline_tells_of_them_and_the_fine_print_of_a_few() -> None:
    results = full(PLAN, FLAT | {"A": 8.0})
    said = [words_of(PLAN, lost(results, *arms))[1].headline for arms in (["A"], ["none"], FLAT)]
    assert said == [
        "A loses to ordinary training: all 10 of its runs diverged.",
        "A beats ordinary training, all 20 of whose runs diverged.",
        "No verdict on A: all its runs and all of ordinary training diverged.",
    ]
    few = replace(PLAN, min_seeds=2, max_seeds=2)
    unclear = words_of(few, lost(full(few, FLAT), "A"))[1].headline
    assert unclear == "A is not separable from ordinary training, though all 2 of its runs diverged."
    results = full(PLAN, FLAT | {"A": 5.0})
    results["A"][9] = math.nan
    layers = words_of(PLAN, results)[1]
    assert layers.headline.startswith("A beats ordinary training: ")
    assert "1 of 10 of A's runs diverged and counts as the worst value of the two." in layers.fine_print[1]


def test_without_a_confirmed_leader_nothing_is_said_of_one() -> None:
    assert words_of(PLAN, {})[1].headline == "No verdict yet: no leader has its seeds beside ordinary training."
    none = replace(PLAN, leaders=(), controls={})
    assert words_of(none, {})[1].headline == "No verdict: the search has found no curriculum to confirm."
    layers = unconfirmed("trial 11", tries="one seed each")
    assert layers.headline == "Trial 11 came out best of the search, one seed each; nothing was confirmed."
    assert unconfirmed("no_curriculum", tries="2 seeds each").headline.startswith("Ordinary training came out best")


def test_where_the_seeds_change_nothing_there_is_no_interval() -> None:
    layers = words_of(PLAN, full(PLAN, FLAT | {"A": 8.999999999}, noise=0.0))[1]
    assert "fd -1e-09 (no interval: seeds change nothing), 10 seeds." in layers.headline
    assert layers.next_step.endswith("more seeds tell nothing more, as they change nothing.")


def test_names_are_cut_to_what_a_headline_has_room_for() -> None:
    name = "my_own_long_named arm of seven words"
    plan = replace(PLAN, leaders=(name,), controls={name: f"{name} / exposure"})
    verdict = words_of(plan, {})[0]
    assert arm_name(verdict, name) == "my own long…"
    assert arm_name(verdict, f"{name} / exposure") == "my own long…'s exposure alone"
    assert arm_name(verdict, "random_order") == "a random order"
    means = dict.fromkeys((plan.reference, *plan.arms), 9.0) | {f"{name} / exposure": 4.0}
    assert len(headline(plan, means, metric="a metric of mine").split()) == MOST_WORDS


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[Plan, Results]:
    """Confirmations of every kind: effects, noise, baselines near 0 and below, directions, sizes, diverged runs."""
    plan = replace(
        draw(st.sampled_from([PLAN, ALONE])),
        direction=draw(st.sampled_from(Direction)),
        min_seeds=2,
        max_seeds=draw(st.integers(2, 9)),
        confidence=draw(st.sampled_from([0.9, 0.95, 0.999])),
    )
    level = draw(st.sampled_from([-5.0, 0.0, 0.02, 9.0, 3000.0]))
    scale = draw(st.sampled_from([0.0, 1e-3, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    results = {}
    for arm in (plan.reference, *plan.arms):
        mean = level + scale * draw(st.sampled_from([-6.0, -1.0, 0.0, 1.0, 6.0]))
        count = draw(st.integers(0, plan.max_seeds)) * (plan.seeds_of(arm, 1))
        values = mean + scale * rng.standard_normal(count)
        share = draw(st.sampled_from([0.0, 0.0, 0.3, 1.0]))
        results[arm] = dict(enumerate(np.where(rng.random(count) < share, np.nan, values).tolist()))
    return plan, results


@settings(max_examples=300, deadline=None)
@given(outcomes())
def test_a_headline_is_short_and_its_numbers_are_those_of_the_comparison(outcome: tuple[Plan, Results]) -> None:
    plan, results = outcome
    verdict, layers = words_of(plan, results, metric="fd_classifier_250", kid=results)
    words = layers.headline
    assert len(words.split()) <= MOST_WORDS
    assert words.endswith(".")
    everything = " ".join([words, *layers.lines.values(), *layers.fine_print])
    assert not re.search(r"\b(inf|nan|None)\b", everything)
    main = verdict.main
    claims = re.search(r"\bbeats\b|\bloses to\b", words)
    assert bool(claims) == (main is not None and main.claimed)
    if main is None or not math.isfinite(main.difference):
        return
    if main.claimed:
        assert ("beats" in words) == main.better
    if "later seeds" in words:
        assert verdict.plan.sign * main.difference * (1 if main.better else -1) <= 0
        return
    assert words.endswith(f", {main.num_seeds} seeds.")
    sized(main, words)


def sized(main: Comparison, words: str) -> None:
    """Whether the numbers in a headline are those of a comparison, as shares of the reference's mean or as they are."""
    share = main.relative
    value, low, high = (main.difference, main.low, main.high) if share is None else (share.value, share.low, share.high)
    unit = 1 if share is None else 100
    assert ("lower" in words, "higher" in words) == (main.claimed and value < 0, main.claimed and value > 0)
    said = words.split("training: ")[1].rsplit(", ", 1)[0].replace("fd_classifier_250", "")
    confidence = re.search(r"\(([\d.]+) %: ", said)
    numbers = [float(x) for x in re.findall(r"[-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?", said.replace(" %: ", " ", 1))]
    if math.isinf(low) and math.isinf(high):
        assert "no interval" in words
        assert numbers == [pytest.approx(unit * value, rel=0.06)]
        return
    assert confidence is not None
    flip = -1 if main.claimed and value < 0 else 1
    bounds = [x for x in sorted((flip * low, flip * high)) if math.isfinite(x)]
    at, _, *rest = numbers
    assert at == pytest.approx(unit * flip * value, rel=0.06)
    assert rest == [pytest.approx(unit * x, rel=0.06) for x in bounds]
    if main.claimed:
        assert min(rest) > 0
    if len(bounds) == 1:
        assert ("at least" in words) == math.isfinite(flip * low if flip > 0 else high)


def test_the_line_of_order_and_exposure_says_what_is_found_of_each() -> None:
    def line(leader: float, control: float) -> str:
        return words_of(PLAN, full(PLAN, FLAT | {"A": leader, "A / exposure": control}, noise=0.7))[1].order

    size = r"\d[\d.]* % (lower|higher) \(95 %: \d[\d.]* to \d[\d.]* %\)"
    open_size = r"[-+][\d.]+ % \(95 %: \S+ to \S+ %\)"
    assert re.fullmatch(
        f"the order matters; exposure alone beats ordinary training: {size}, the order on top of it gains: {size}\\.",
        line(4.0, 6.5),
    )
    assert re.fullmatch(
        f"exposure is shown, an order on top is not; exposure alone beats ordinary training: {size}, "
        f"the order on top of it is not separable: {open_size}\\.",
        line(6.0, 6.1),
    )
    assert line(9.0, 9.0).startswith("not told apart; exposure alone is not separable: ")
    assert line(12.0, 9.0).startswith("the order costs; ")
    assert words_of(ALONE, full(ALONE, {"none": 9.0, "A": 4.0}))[1].order == (
        "not told: A has no exposure-matched control."
    )
    young = full(PLAN, FLAT)
    young["A / exposure"] = {}
    assert words_of(PLAN, young)[1].order == "not told: the exposure-matched control has too few seeds."


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (4.0, 4.0, r"kid agrees: [\d.]+ % lower \(95 %: [\d.]+ to [\d.]+ %\)\."),
        (4.0, 14.0, r"kid contradicts: [\d.]+ % higher \(95 %: [\d.]+ to [\d.]+ %\)\."),
        (4.0, 8.9, r"kid does not confirm it: [-+][\d.]+ % \(95 %: -[\d.]+ to \+[\d.]+ %\)\."),
        (9.0, 9.0, r"kid does not separate them either: [-+][\d.]+ % \(95 %: -[\d.]+ to \+[\d.]+ %\)\."),
        (9.0, 4.0, r"kid alone finds it better: [\d.]+ % lower \(95 %: [\d.]+ to [\d.]+ %\)\."),
        (9.0, 14.0, r"kid alone finds it worse: [\d.]+ % higher \(95 %: [\d.]+ to [\d.]+ %\)\."),
    ],
)
def test_another_metric_says_a_size_and_what_it_tells(ours: float, theirs: float, words: str) -> None:
    other = full(PLAN, FLAT | {"A": theirs}, noise=0.7, seed=1)
    layers = words_of(PLAN, full(PLAN, FLAT | {"A": ours}, noise=0.7), kid=other)[1]
    assert re.fullmatch(words, layers.metrics), layers.metrics
    doubt = "look at the samples first, for kid found it worse; then train with best.yaml"
    assert layers.next_step.startswith(doubt) is ("contradicts" in words)
    assert words_of(PLAN, full(PLAN, FLAT))[1].metrics == "none was measured beside fd."


def test_how_much_sooner_is_the_share_of_the_images_that_the_reference_needs() -> None:
    images = [100, 200, 300, 400]
    fast, slow = [8.0, 5.5, 4.5, 4.0], [9.0, 7.0, 6.0, 5.0]
    curves = {"none": dict.fromkeys(range(2), (images, slow)), "A": dict.fromkeys(range(2), (images, fast))}
    results = full(PLAN, FLAT | {"A": 5.0})

    def line(curves: dict[str, dict[int, tuple[list[int], list[float]]]]) -> str:
        return describe(judge(PLAN, results, metric="fd", curves=curves), best="best.yaml").sooner

    assert line(curves) == "A reaches the final value of ordinary training with 62 % of the images (95 %: 62 %)."
    late = curves | {"A": curves["none"], "none": curves["A"]}
    assert line(late) == "A does not reach the final value of ordinary training (95 %: never)."
    assert line({}) == "not told: that takes the curves of two seeds of both."


@pytest.mark.parametrize(
    ("ratio", "low", "high", "words"),
    [
        (1.25, 1.1, 1.5, "reaches the final value of ordinary training with 80 % of the images (95 %: 67 to 91 %)."),
        (1.25, 0.0, 1.5, "reaches the final value of ordinary training with 80 % of the images (95 %: 67 % to never)."),
        (0.0, 0.0, 1.03, "does not reach the final value of ordinary training (95 %: 97 % of the images to never)."),
        (0.0, 0.0, 0.0, "does not reach the final value of ordinary training (95 %: never)."),
    ],
)
def test_how_much_sooner_has_its_interval_in_the_same_words(ratio: float, low: float, high: float, words: str) -> None:
    verdict = replace(judge(PLAN, full(PLAN, FLAT), metric="fd", curves={}), arm="A")
    assert _sooner(verdict, Sooner(ratio=ratio, low=low, high=high)).removeprefix("A ") == words


def next_step(means: dict[str, float], noise: float = 1.0) -> tuple[Verdict, str]:
    verdict, layers = words_of(PLAN, full(PLAN, FLAT | means, noise=noise))
    return verdict, layers.next_step


def test_what_to_do_next_names_the_file_and_the_seeds_that_would_tell() -> None:
    assert next_step({"A": 4.0, "A / exposure": 6.5}, noise=0.5)[1] == "train with best.yaml."
    assert (
        next_step({"A": 14.0})[1] == "keep ordinary training, which best.yaml is; search more trials, or a wider space."
    )
    verdict, said = next_step({"A": 6.0, "A / exposure": 6.4})
    assert said.startswith("try best_density.yaml, which is simpler to train and not shown to be worse; for the ")
    order = verdict.order
    assert order is not None
    seeds_that_would_do(order, said)
    verdict, said = next_step({"A": 8.2, "A / exposure": 9.5})
    assert verdict.main is not None
    assert said.startswith("best.yaml is ahead and unproven; ")
    seeds_that_would_do(verdict.main, said)
    tiny = next_step({"A": 8.62}, noise=1.0)[1]
    assert re.search(
        r"[\d.]+ sd, the difference seen, would take more than 100 seeds an arm; 10 separate 1\.\d sd", tiny
    )


def seeds_that_would_do(comparison: Comparison, said: str) -> None:
    """Whether the seeds that a sentence asks for find the difference seen in 8 of 10 studies, and fewer do not."""
    found = re.search(
        r"(\d+) more seeds an arm \(study\.confirmation\.max_seeds=(\d+)\) would separate ([\d.]+) sd, the difference "
        r"seen, in 8 of 10 studies",
        said,
    )
    assert found, said
    more, most = int(found[1]), int(found[2])
    assert most == comparison.num_seeds + more
    assert float(found[3]) == pytest.approx(abs(comparison.difference) / comparison.spread, rel=0.05)
    assert power_at(comparison, comparison.difference, most) >= 0.8
    assert power_at(comparison, comparison.difference, most - 1) < 0.8 or more == 1


def test_the_fine_print_has_the_means_the_test_and_every_other_leader() -> None:
    plan = replace(PLAN, leaders=("A", "B", "C", "D"), controls={})
    means = {"none": 9.0, "A": 4.0, "B": 6.0, "C": 9.0, "D": 9.0, "published": 9.0, "reversed": 9.0}
    results = full(plan, means, noise=0.7)
    results["D"] = {}
    verdict, layers = words_of(plan, results)
    fine = layers.fine_print
    assert verdict.main is not None
    ours = np.mean(list(results["A"].values()))
    assert fine[0].startswith(
        f"fd: {ours:.4g} over 10 seeds beside {verdict.main.against_mean:.4g} over 20, p < 0.001 "
    )
    assert re.fullmatch(r"B beside ordinary training: better, \d+ % lower \(95 %: \S+ to \S+ %\)\.", fine[1])
    assert re.fullmatch(r"C beside ordinary training: not separable, \S+ % \(95 %: \S+ to \S+ %\)\.", fine[2])
    assert fine[3] == "D beside ordinary training: too few seeds."
    assert "95 % over all arms" in fine[4]
    assert "90 % over all arms" in words_of(replace(plan, confidence=0.9), results)[1].fine_print[4]


def test_an_interval_that_leaves_out_zero_without_a_claim_is_explained() -> None:
    plan = replace(PLAN, min_seeds=4, max_seeds=40)
    results = {arm: {s: v for s, v in runs.items() if s < 8} for arm, runs in full(plan, FLAT | {"A": 7.2}).items()}
    for arm in PLAN.arms:
        results[arm] = {s: v for s, v in results[arm].items() if s < 4}
    verdict, layers = words_of(plan, results)
    main = verdict.main
    assert main is not None
    assert not main.claimed
    assert not main.low <= 0 <= main.high
    assert layers.fine_print[-1] == "The interval of what is not claimed is of one look, so it can leave out 0."
