"""The findings: the contexts are what they are said to be, and the page follows from the runs that were kept."""

import json
import math
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import findings
import numpy as np
import pytest
from findings_parts import records as kept
from findings_parts.claims import DEPENDS, DIFFICULTIES, DOES_NOT, HOLDS, NOT_RUN, OPEN, claims, verdict
from findings_parts.contexts import LEARNING_RATE, ROOT, SEARCH, SEARCHED, STUDY, Context, read_contexts, read_rates
from findings_parts.effects import Outcome, detectable, family_confidence, side
from findings_parts.figure import draw
from findings_parts.page import PAGE, render
from findings_parts.plan import Left
from support.theatre import Theatre, confirmation_of
from support.workplace import Workplace

from curriculum_search.loading import UserError, parse_overrides, read_yaml
from curriculum_search.search.arms import baseline, exposure_control
from curriculum_search.search.driver import open_searcher, open_store
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.load import load_study, read_study
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.statistics.comparison import Plan
from curriculum_search.search.statistics.verdict import allocate
from curriculum_search.search.study import StudyFile
from curriculum_search.tracking import Tracker

ARMS = tuple(read_yaml(STUDY)["study"]["arms"])
ORDERED = ARMS[:6]
NO_RECORDS: kept.Records = {kept.CONTEXTS: {}, kept.SEARCHES: {}, kept.DIFFICULTY: {}}


def made_up(gains: Mapping[str, float], *, seed: int = 0, other: float = 1.0) -> dict[str, Any]:
    """The record of a context whose arms are better than ordinary training, 10 ± 1, by `gains`; under the second
    metric `other` times as much."""
    plan = Plan(
        reference="no_curriculum",
        leaders=ARMS,
        controls={arm: f"{arm} / exposure" for arm in ORDERED},
        min_seeds=12,
        max_seeds=16,
        first_seed=101,
        confidence=0.99737,
    )
    rng = np.random.default_rng(seed)
    values: dict[str, dict[int, float]] = {arm: {} for arm in (plan.reference, *plan.arms)}
    while runs := allocate(plan, values, concurrency=2):
        for arm, number in runs:
            values[arm][number] = 10 - gains.get(arm, 0.0) + float(rng.standard_normal())
    return {
        "learning_rate": 8e-3,
        "images": 38400,
        "metrics": ["first", "second"],
        "plan": asdict(plan) | {"direction": "minimize"},
        "runs": {"arms": sum(map(len, values.values())), "search": 0},
        "images_of_all": 1_000_000,
        "at": [19200, 38400],
        "arms": {
            arm: {"title": arm, "runs": {str(s): [v, 10 + other * (v - 10), [2 * v, v]] for s, v in runs.items()}}
            for arm, runs in values.items()
        },
    }


# The files.


def test_the_three_study_files_are_over_one_base_and_in_all_contexts_valid() -> None:
    study, search, rate = (read_yaml(path) for path in (STUDY, SEARCH, LEARNING_RATE))
    assert study["base"] == search["base"]
    assert rate["base"] == study["base"] | {"curriculum": {"order": {"kind": "none"}}}
    for context in read_contexts().values():
        ready = replace(context, learning_rate=4e-3)
        arms = read_study(STUDY, ready.values)
        assert arms.study.name == f"findings-{context.name}"
        assert arms.base.training.learning_rate == 4e-3
        prediction = context.name.split("-")[1]
        assert arms.base.process.prediction == {"flow": "velocity"}.get(prediction, prediction)
        assert arms.base.training.total_images == (4 if "-long" in context.name else 1) * (
            48000 if context.name.startswith("relief") else 38400
        )
        arms.base.evaluation.sampler.check(arms.base.process)
        assert arms.study.objective in arms.base.evaluation.metric_names(final=True)
        assert arms.second_opinions()


def test_the_seeds_of_arms_are_no_search_s_and_all_intervals_hold_together() -> None:
    study, search, rate = (read_study(path) for path in (STUDY, SEARCH, LEARNING_RATE))
    arms = range(study.search_seeds.stop, study.search_seeds.stop + 2 * study.study.confirmation.max_seeds)
    for file in (search, rate):
        assert not set(arms) & set(file.search_seeds)
    assert study.study.confirmation.min_seeds >= 12
    assert search.study.confirmation.confidence == study.study.confirmation.confidence
    assert sum(context.measures_difficulty for context in read_contexts().values()) == DIFFICULTIES
    together = family_confidence(study.study.confirmation.confidence, len(read_contexts()) + len(SEARCHED))
    assert 0.95 <= together < 0.951


def test_the_paper_s_arm_is_the_published_baseline_and_every_order_has_a_control() -> None:
    file = load_study(STUDY, {})
    arms = {arm.name: arm for arm in file.arms}
    published = baseline("published", file.base)
    assert file.run(arms["paper"], 1).experiment == file.run(published, 1).experiment
    assert tuple(name for name, arm in arms.items() if file.has_order(arm)) == ORDERED
    shares = {name: file.run(arm, 1).experiment.curriculum.pacing.to_dict() for name, arm in arms.items()}
    assert [shares[name]["end_share"] for name in ORDERED] == [0.02, 0.25, 0.5, 0.25, 0.5, 0.5]


def test_a_context_s_command_is_the_study_that_is_run() -> None:
    context = replace(read_contexts()["relief-flow-long"], learning_rate=4e-3)
    _, _, path, *given = shlex.split(context.command)
    assert read_study(ROOT / path, parse_overrides(given)).base == read_study(STUDY, context.values).base


def test_without_its_learning_rate_no_arm_is_trained() -> None:
    context = Context(name="digits-x0-short", overrides={}, learning_rate=None)
    with pytest.raises(UserError, match="has no learning rate yet"):
        context.study()


def test_what_is_left_is_what_has_not_been_kept() -> None:
    context = replace(read_contexts()["digits-epsilon-short"], learning_rate=None)
    left = Left.of(context, {}, NO_RECORDS)
    assert (left.rate, left.arms, left.difficulty) == ((18, 18), (216, 288), (40, 40))
    assert left.search == (25 + 48, 25 + 64)
    records: kept.Records = {part: {context.name: {}} for part in NO_RECORDS}
    assert Left.of(context, {context.name: {}}, records) == Left(
        rate=(0, 0), arms=(0, 0), difficulty=(0, 0), search=(0, 0)
    )


# What the runs say.


def test_effects_are_recomputed_from_the_runs() -> None:
    record = made_up({"hard_half": 4.0, "hard_half / exposure": 0.0, "easy_half": -5.0})
    outcome = Outcome("a", record)
    assert side(outcome.total("hard_half")) == "better"
    assert side(outcome.total("easy_half")) == "worse"
    assert (side(outcome.exposure("hard_half")), side(outcome.order("hard_half"))) == ("not separable", "better")
    assert outcome.order("min_snr") is None
    assert outcome.verdict.arm == outcome.best_arm == "hard_half"
    assert outcome.total("hard_half") == outcome.verdict.main
    assert outcome.direct("hard_half", "easy_half") == "better"
    assert outcome.direct("easy_half", "hard_half") == "worse"
    runs = record["arms"]["hard_half"]["runs"]
    for run in runs.values():
        run[0] += 4.0
    assert side(Outcome("a", record).total("hard_half")) == "not separable"


def test_what_would_have_been_found_is_found_in_most_studies() -> None:
    arm = "p2"
    size = detectable(Outcome("a", made_up({})).total(arm), Outcome("a", made_up({})).plan)
    assert size is not None
    found = [side(Outcome("a", made_up({arm: size}, seed=seed)).total(arm)) == "better" for seed in range(1, 21)]
    assert sum(found) >= 15


def test_runs_that_diverged_count_and_have_no_value() -> None:
    record = made_up({})
    for run in record["arms"]["p2"]["runs"].values():
        run[:] = [None, None, []]
    outcome = Outcome("a", record)
    assert outcome.total("p2").difference == math.inf
    assert outcome.mean("p2") == math.inf
    page = render(NO_RECORDS | {kept.CONTEXTS: {"digits-x0-short": record}}, {}, read_contexts())
    assert "| p2 | inf ± nan (0, 12 diverged) | all diverged |" in page


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], NOT_RUN),
        ([OPEN, OPEN], OPEN),
        ([HOLDS, HOLDS, OPEN], HOLDS),
        ([DOES_NOT, DOES_NOT], DOES_NOT),
        ([HOLDS, DOES_NOT, OPEN], DEPENDS),
        ([HOLDS, OPEN, OPEN], f"{OPEN} in most, {HOLDS} in 1 of 3"),
    ],
)
def test_a_verdict_is_no_louder_than_its_comparisons(words: list[str], expected: str) -> None:
    assert verdict(words) == expected


def test_claims_say_what_was_put_into_the_runs() -> None:
    easy_wins = {"paper": 4.0, "easy_quarter": 4.0, "easy_half": 4.0, "hard_quarter": -4.0, "hard_half": -4.0}
    clean_is_hard = {"edges": [0, 0.5, 1], "difficulty": {str(s): [1.5 + 0.01 * s, 0.5 - 0.01 * s] for s in range(5)}}
    runs = {"a": Outcome("a", made_up(easy_wins))}
    rows = [row.verdict for row in claims(runs, {"a-short": clean_is_hard}, {"b": Outcome("b", made_up({}))})]
    low_noise, published, sooner, anti, anti_direct, order, random, constant, min_snr, metric, scale = rows
    assert (low_noise, published, sooner, anti, anti_direct) == (HOLDS,) * 5
    assert order.startswith(DEPENDS)
    assert (random, constant, min_snr, metric, scale) == (DOES_NOT, HOLDS, OPEN, HOLDS, "out of reach here")
    exposure_wins = dict.fromkeys(("hard_quarter", "hard_half"), 4.0)
    exposure_wins |= {f"{arm} / exposure": 4.0 for arm in exposure_wins}
    rows = [row.verdict for row in claims({"a": Outcome("a", made_up(exposure_wins, other=-1.0))}, {}, {})]
    low_noise, _, _, anti, anti_direct, order, _, _, min_snr, metric, _ = rows
    assert (anti, anti_direct, order) == (DOES_NOT, DOES_NOT, DOES_NOT)
    assert (low_noise, min_snr, metric) == (NOT_RUN, NOT_RUN, DEPENDS)


# The page.


def test_the_page_is_what_the_records_give() -> None:
    assert PAGE.read_text() == render(kept.read_records(), read_rates(), read_contexts())


def test_learning_rates_were_those_of_the_records() -> None:
    rates = read_rates()
    for name, record in kept.read_records()[kept.CONTEXTS].items():
        assert record["learning_rate"] == rates[name]["learning_rate"]
        assert Outcome(name, record).plan.first_seed > max(range(3))


def test_a_page_names_what_was_run_and_has_a_figure_of_it(tmp_path: Path) -> None:
    records = NO_RECORDS | {kept.CONTEXTS: {"digits-v-short": made_up({"hard_half": 5.0})}}
    page = render(records, {}, read_contexts())
    assert (
        f"Of {len(read_contexts())} contexts 1 have been run: digits-v-short. Not run yet: digits-epsilon-short,"
        in page
    )
    assert "### digits-v-short" in page
    assert "Hard half beats ordinary training" in page
    draw(
        {"digits-v-short": Outcome("digits-v-short", records[kept.CONTEXTS]["digits-v-short"])}, tmp_path / "figure.png"
    )
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_records_keep_every_digit_and_what_is_not_finite_as_null(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    kept.keep(kept.CONTEXTS, "a", {"arms": {"x": {"title": "x", "runs": {"1": [0.1 + 0.2, math.nan]}}}}, path)
    kept.keep(kept.SEARCHES, "b", {"hours": 1.5}, path)
    records = kept.read_records(path)
    assert records[kept.CONTEXTS]["a"]["arms"]["x"]["runs"]["1"] == [0.1 + 0.2, None]
    assert records[kept.SEARCHES] == {"b": {"hours": 1.5}}


# From a study's runs to its record, and one of them again.


@pytest.fixture
def searches(workplace: Workplace) -> Iterator[Callable[[StudyFile], SearchPhase]]:
    """Makes the search phase of a study, whose runs are played."""
    trackers = []

    def make(file: StudyFile) -> SearchPhase:
        folder = workplace.results / file.study.name
        folder.mkdir()
        file.write_resolved(folder)
        trackers.append(Tracker(folder / "tracking", uri=workplace.store, study=file.study.name, experiment="played"))
        store = open_store(file, folder, tracker=trackers[-1], cache_dir=workplace.cache)
        search = SearchPhase(file, store, Ledger(file, store), open_searcher(folder, file))
        search.resume()
        return search

    yield make
    for tracker in trackers:
        tracker.close(0)


def test_a_record_holds_what_the_runs_of_a_study_came_to(
    workplace: Workplace, searches: Callable[[StudyFile], SearchPhase]
) -> None:
    arms = "study.arms={slow: {curriculum.num_clusters: 10}, mine: {density: {kind: beta, b: 2.0}}}"
    metrics = "base.evaluation.evaluators=[{kind: val_loss, num_images: 8, num_levels: 10, num_intervals: 5}]"
    alone = ("study.trials=0", "space=null", "study.baselines=[no_curriculum]", "base.plugins=[]")
    file = workplace.load(*alone, metrics, arms)
    assert kept.read_arms(workplace.results / "tiny") is None
    confirmation = confirmation_of(searches(file))
    assert kept.read_arms(workplace.results / "tiny") is None  # nothing of it has run
    Theatre(confirmation).play()
    record = kept.read_arms(workplace.results / "tiny")
    assert record is not None
    for metric in ("val_loss", "fd_pca4_24"):
        assert kept.values_of(json.loads(json.dumps(record)), metric) == confirmation.values(metric)
    assert (record["learning_rate"], record["images"], record["images_of_all"]) == (1e-3, 320, 10 * 320)
    assert kept.plan_of(json.loads(json.dumps(record))) == confirmation.plan
    assert kept.curves_of(record)["slow"][1][0] == [80, 160, 240, 320]
    outcome = Outcome("tiny", record)
    assert outcome.order("slow") is not None
    assert outcome.order("mine") is None


def test_the_learning_rate_is_the_one_at_which_ordinary_training_ends_best(
    workplace: Workplace,
    searches: Callable[[StudyFile], SearchPhase],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = read_yaml(LEARNING_RATE)
    file = workplace.load(
        *("study.trials=5", "study.seeds_per_trial=3", "study.algorithm={kind: grid}", "study.confirmation.leaders=0"),
        *("study.baselines=[no_curriculum]", "base.curriculum={order: {kind: none}}"),
        f"space={json.dumps(given['space'])}",
    )
    Theatre(searches(file)).play()
    path = tmp_path / "rates.yaml"
    monkeypatch.setattr(kept, "LEARNING_RATES", path)
    monkeypatch.setattr(kept, "read_rates", dict)
    kept.keep_rate(Context(name="a", overrides={}, learning_rate=None), workplace.results / "tiny")
    found = read_yaml(path)["a"]
    assert found["learning_rate"] == 2e-3  # as played
    assert {rate: len(values) for rate, values in found["values"].items()}["0.016"] == 3


def test_a_run_again_ends_at_the_same_number(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = workplace.load("study.trials=0", "space=null", "study.arms={slow: {curriculum.num_clusters: 10}}")
    arm = file.arms[0]
    exposure = findings.last_report(file, arm, 1, workplace.cache).exposure
    control = exposure_control(arm, exposure)
    value = findings.last_report(file, control, 2, workplace.cache).metrics["val_loss"]
    arms: dict[str, Any] = {"slow / exposure": {"runs": {"2": [value, []]}}}
    record = {"metrics": ["val_loss"], "plan": {"first_seed": 1}, "arms": arms}
    monkeypatch.setattr(findings, "read_records", lambda: NO_RECORDS | {kept.CONTEXTS: {"a": record}})
    monkeypatch.setattr(Context, "study", lambda self: file)
    context = Context(name="a", overrides={}, learning_rate=1e-3)
    findings.repeat(context, "slow / exposure", 2, cache_dir=workplace.cache)
    assert capsys.readouterr().out.endswith(f"val_loss: {value!r}, kept: {value!r}: the same\n")
    arms["slow / exposure"]["runs"]["2"][0] = 0.0
    findings.repeat(context, "slow / exposure", 2, cache_dir=workplace.cache)
    assert capsys.readouterr().out.endswith(f"val_loss: {value!r}, kept: 0.0: not the same\n")
    with pytest.raises(UserError, match="no run of a, slow, seed 7"):
        findings.repeat(context, "slow", 7, cache_dir=workplace.cache)
