"""Leaders, controls and baselines again on fresh seeds: who takes part, who gets seeds, and what is made of the ends;
runs are played, not trained."""

import math
from collections import Counter
from dataclasses import replace

from support.study import MakeSearch, order_of
from support.theatre import FINISHED, Theatre, confirmation_of
from support.workplace import Workplace

from curriculum_search.diffusion import Uniform
from curriculum_search.runs.job import Exhausted, Job, Outcome, Status
from curriculum_search.runs.record import recorded_runs
from curriculum_search.search.arms import Run
from curriculum_search.search.phases.confirmation import ConfirmationPhase


def test_leaders_controls_and_baselines_are_confirmed_on_fresh_seeds(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    search = make_search(workplace.load("study.trials=6", "study.confirmation.max_seeds=3"))
    Theatre(search).play()
    confirmation = confirmation_of(search)
    (leader,) = confirmation.plan.leaders
    best = next(c.run for c in search.finished() if c.arm.role == "searched" and _has_order(c.run))
    assert leader == best.arm.name
    control = confirmation.arms[confirmation.plan.controls[leader]]
    assert control.values["density.kind"] == "histogram"
    assert control.values["density.mass"] == [0.25, 0.75]
    assert control.values["training.learning_rate"] == best.arm.values["training.learning_rate"]
    jobs = Theatre(confirmation).play()
    assert 0 not in {job.experiment.seed for job in jobs}
    assert len({job.key for job in jobs}) == len(jobs)
    values = confirmation.values("val_loss")
    assert set(values) == {"no_curriculum", "published", leader, control.name}
    assert all(len(seeds) >= 2 for seeds in values.values())
    assert not confirmation_of(search).pending()


def test_the_standing_of_the_arms_goes_with_every_run_that_ends(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=4", "study.confirmation.max_seeds=3"))
    Theatre(search).play()
    confirmation = confirmation_of(search)
    before = confirmation.progress.standing
    assert before is not None
    assert set(before.columns["seeds"]) == {"0"}
    Theatre(confirmation).play()
    after = confirmation.progress.standing
    assert after is not None
    assert after.columns["arm"][0] == "no curriculum"
    assert [int(seeds) for seeds in after.columns["seeds"]] == [
        len(values) for values in confirmation.values("val_loss").values()
    ]


def _has_order(run: Run) -> bool:
    return not run.experiment.curriculum.canonical().order.all_at_once


def test_ordinary_training_is_confirmed_with_the_best_settings_that_it_was_tried_with(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    search = make_search(workplace.load("study.trials=6"))
    Theatre(search).play()
    tried = [c.run for c in search.finished() if not _has_order(c.run)]
    confirmation = confirmation_of(search)
    reference = confirmation.run("no_curriculum", 1).experiment
    assert reference.training.learning_rate == tried[0].experiment.training.learning_rate != 1e-3


def test_the_next_round_waits_for_the_runs_of_this_one(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=4"))
    Theatre(search).play()
    confirmation = confirmation_of(search)
    jobs = []
    while isinstance(job := confirmation.next(), Job):
        jobs.append(job)
    assert job is Exhausted.WAIT
    for job in jobs[:-1]:
        confirmation.ended(job, Outcome(status=Status.DIVERGED, reason="nan"))
        assert confirmation.next() is Exhausted.WAIT


def test_a_confirmation_that_was_interrupted_goes_on_and_repeats_only_failures(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    search = make_search(workplace.load("study.trials=4"))
    Theatre(search).play()
    failing = Outcome(status=Status.FAILED, reason="OSError: disk full", trace="line 1")
    ends = iter([FINISHED, failing, FINISHED, FINISHED, Outcome(status=Status.DIVERGED, reason="nan")])
    first = Theatre(confirmation_of(search), end=lambda job: next(ends, FINISHED)).play(limit=7)
    again = [job.key for job in Theatre(confirmation_of(search)).play()]
    assert first[1].key in again  # failed
    assert first[0].key not in again  # finished
    assert first[4].key not in again  # diverged: a result
    values = confirmation_of(search).values("val_loss")
    assert sum(math.isnan(value) for seeds in values.values() for value in seeds.values()) == 1


def test_ordinary_training_enters_with_a_leaders_settings_where_they_do_better_on_fresh_seeds(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    for name, lucky in (("unlucky", 3.5e-3), ("lucky", 2.1e-3)):
        rates = {"easy_to_hard": 2e-3, "none": lucky}
        space = "space.training.learning_rate={kind: categorical, choices: [2e-3, 2.1e-3, 3.5e-3]}"
        search = make_search(workplace.load("study.trials=0", f"study.name={name}", space))
        for order, rate in rates.items():
            params = {"training.learning_rate": rate, "curriculum.order.kind": order, "curriculum.num_clusters": 3}
            search.searcher.enqueue({p: v for p, v in params.items() if order != "none" or "clusters" not in p})
        search = make_search(workplace.load("study.trials=2", f"study.name={name}", space))
        Theatre(search).play()
        confirmation = confirmation_of(search)
        assert confirmation.plan.reference_variants == 1
        jobs = Theatre(confirmation).play()
        assert confirmation.arms["no_curriculum"].values["training.learning_rate"] == 2e-3
        assert confirmation.plan.reference_variants == 0
        ordinary = [job.experiment for job in jobs if order_of(job) == "none"]
        trained = Counter(e.training.learning_rate for e in ordinary if e.density == Uniform())
        assert trained == {lucky: 2, 2e-3: 4}
        assert not confirmation_of(search).pending()


def test_a_leader_that_is_one_of_the_baselines_takes_no_place(workplace: Workplace, make_search: MakeSearch) -> None:
    file = workplace.load("study.trials=4")
    search = make_search(file)
    Theatre(search).play()
    curricula = [c for c in search.finished() if _has_order(c.run) and c.arm.role == "searched"]
    best = curricula[0]
    arm = replace(best.arm, values=file.baselines()[1].values)
    published = replace(best, run=file.run(arm, 0))
    confirmation = ConfirmationPhase(file, search.store, search.ledger, [published, *search.finished()], [])
    assert [leader.arm.values for leader in confirmation.leaders] == [best.arm.values]


def test_a_run_that_fails_holds_up_no_other_arm(workplace: Workplace, make_search: MakeSearch) -> None:
    def end(job: Job) -> Outcome:
        published = order_of(job) == "easy_to_hard" and job.experiment.curriculum.num_clusters == 20
        return Outcome(status=Status.FAILED, reason="OSError", trace="") if published else FINISHED

    search = make_search(workplace.load("study.trials=4", "study.confirmation={min_seeds: 2, max_seeds: 12}"))
    Theatre(search).play()
    confirmation = confirmation_of(search)
    Theatre(confirmation, end=end).play()
    seeds = {name: len(values) for name, values in confirmation.values("val_loss").items()}
    assert seeds["published"] == 0
    assert seeds[confirmation.plan.leaders[0]] > 2
    assert seeds["no_curriculum"] > 4
    assert confirmation.remarks() == [
        "2 runs of published failed, and what needs them is missing; the same command tries again."
    ]


def test_a_confirmation_of_other_leaders_is_numbered(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=8"))
    Theatre(search).play()
    for _ in range(2):
        assert confirmation_of(search).number == 1
    curricula = [c for c in search.finished() if _has_order(c.run) and c.arm.role == "searched"]
    assert len(curricula) > 1
    others = [candidate for candidate in search.finished() if candidate != curricula[0]]
    second = ConfirmationPhase(search.file, search.store, search.ledger, others, [])
    second.resume()
    assert second.number == 2
    assert second.remarks() == ["It is verdict 2 of this study, each with an error rate of its own."]
    assert confirmation_of(search).number == 1


def test_without_leaders_nothing_is_confirmed(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=2", "study.confirmation.leaders=0"))
    Theatre(search).play()
    confirmation = confirmation_of(search)
    assert not confirmation.pending()
    assert confirmation.next() is Exhausted.DONE


def test_a_search_that_found_only_ordinary_training_confirms_the_baselines(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    file = workplace.load(
        "study.trials=2", "space.curriculum.order.kind.choices=[none]", "space.curriculum.num_clusters=null"
    )
    search = make_search(file)
    Theatre(search).play()
    confirmation = confirmation_of(search)
    assert confirmation.plan.leaders == ()
    Theatre(confirmation).play()
    assert set(confirmation.values("val_loss")) == {"no_curriculum", "published"}


def test_the_confirmation_keeps_to_the_images(workplace: Workplace, make_search: MakeSearch) -> None:
    """The seeds of an undecided study end with the budget, not with max_seeds, and are planned so."""
    overrides = "study.trials=4", "study.confirmation={min_seeds: 2, max_seeds: 40, leaders: 1}"
    images = (2 + 4 + 12 + 7) * 320
    search = make_search(workplace.load(*overrides, f"study.max_images={images}"))
    Theatre(search).play()
    confirmation = confirmation_of(search)
    end = iter([Outcome(status=Status.DIVERGED, reason="nan")] * 1000)  # nothing is ever decided
    Theatre(confirmation, end=lambda job: next(end)).play()
    # There are 19 runs left, and another seed of the leading arms takes four.
    assert confirmation.plan.max_seeds == 3
    assert confirmation.remarks() == ["The study's budget was enough for 3 of 40 seeds."]
    assert sum(run.images for run in recorded_runs(search.store.root)) <= images
    again = confirmation_of(search)
    assert (again.plan.max_seeds, again.pending()) == (3, False)
