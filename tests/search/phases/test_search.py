"""What the two phases of a study hand out, and what they make of the ends; runs are played, not trained."""

import math
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from support.theatre import Theatre, confirmation_of
from support.workplace import Workplace

from curriculum_search.diffusion import Uniform
from curriculum_search.loading import UserError
from curriculum_search.runs.job import Exhausted, Job, Outcome, Status
from curriculum_search.search.arms import Run
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.study import StudyFile
from curriculum_search.training import Report

FINISHED = Outcome(status=Status.FINISHED)


def order_of(job: Job) -> str:
    return str(job.experiment.curriculum.order.to_dict()["kind"])


Make = Callable[[StudyFile], SearchPhase]


def test_the_baselines_come_first_then_as_many_trials_as_the_study_has(workplace: Workplace, make_search: Make) -> None:
    search = make_search(workplace.load("study.trials=5"))
    assert search.pending()
    jobs = Theatre(search).play()
    assert [order_of(job) for job in jobs[:2]] == ["none", "easy_to_hard"]
    assert jobs[1].experiment.curriculum.num_clusters == 20
    assert len(jobs) == 2 + 5
    assert {job.experiment.seed for job in jobs} == {0}
    assert not search.pending()
    assert search.next() is Exhausted.DONE
    values = [candidate.values[0] for candidate in search.finished()]
    assert values == sorted(values)
    assert len(values) == 7


def test_ordinary_training_gets_as_many_tries_as_any_order(workplace: Workplace, make_search: Make) -> None:
    choices = "space.curriculum.order.kind.choices=[easy_to_hard, hard_to_easy, random, none]"
    where = "space.curriculum.num_clusters.when={curriculum.order.kind: [easy_to_hard, hard_to_easy, random]}"
    tries = {}
    for equal in ("true", "false"):
        file = workplace.load(
            "study.trials=12", choices, where, f"study.equal_tries={equal}", f"study.name=tries-{equal}"
        )
        jobs = Theatre(make_search(file)).play()[2:]
        tries[equal] = Counter(map(order_of, jobs))
        assert len(jobs) == 12
    assert tries["true"]["none"] >= max(tries["true"].values())
    assert tries["false"]["none"] < max(tries["false"].values())


def test_after_a_restart_what_had_begun_comes_first_and_nothing_ended_comes_again(
    workplace: Workplace, make_search: Make
) -> None:
    file = workplace.load("study.trials=6")
    # The command ends while trial 1 and trial 2 are running: they have reported, and no end was told.
    first = Theatre(make_search(file))
    first.play(limit=4)
    first.end = lambda job: None
    begun = [job.key for job in first.play(limit=6)[3:]]
    ended = {job.key for job in first.played} - set(begun)

    second = make_search(file)
    assert second.pending()
    jobs = [job.key for job in Theatre(second).play()]
    assert set(jobs[: len(begun)]) == set(begun)
    assert not ended & set(jobs)
    assert len(set(jobs) | ended) == 2 + 6


def test_more_trials_are_only_the_new_ones(workplace: Workplace, make_search: Make) -> None:
    Theatre(make_search(workplace.load("study.trials=3"))).play()
    assert not make_search(workplace.load("study.trials=3")).pending()
    assert len(Theatre(make_search(workplace.load("study.trials=5"))).play()) == 2


def test_a_run_that_ended_and_whose_end_was_not_told_is_told_and_not_trained(
    workplace: Workplace, make_search: Make
) -> None:
    file = workplace.load("study.trials=2")
    search = make_search(file)
    stage = Theatre(search)
    stage.play(limit=3)
    job = search.next()
    assert isinstance(job, Job)
    search.reported(job, Report(images=320, metrics={"val_loss": 1.0, "unlocked_share": 1.0}))
    search.store.ended(job.key, FINISHED)  # and the command is killed before the searcher hears of it
    again = make_search(file)
    assert job.key not in [played.key for played in Theatre(again).play()]
    states = [trial.state.name for trial in _trials(workplace)]
    assert states == ["COMPLETE", "COMPLETE"]


def _trials(workplace: Workplace, name: str = "tiny") -> list[Any]:
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(workplace.results / name / "study.journal")))
    return optuna.load_study(study_name=name, storage=storage).get_trials()


def test_each_end_is_told_to_optuna_in_its_own_terms(workplace: Workplace, make_search: Make) -> None:
    ends = iter(
        [
            FINISHED,
            Outcome(status=Status.DIVERGED, reason="the training loss is nan"),
            Outcome(status=Status.FAILED, reason="OSError: disk full", trace="line 1"),
            FINISHED,
        ]
    )
    search = make_search(workplace.load("study.trials=4"))
    Theatre(search, end=lambda job: next(ends) if job.experiment.training.learning_rate != 1e-3 else FINISHED).play()
    trials = _trials(workplace)
    assert [trial.state.name for trial in trials] == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert trials[1].user_attrs["reason"] == "the training loss is nan"
    assert trials[2].user_attrs["reason"].startswith("OSError: disk full (")
    statuses = [result.status for _, result in search.ended_runs()]
    assert statuses.count(Status.FINISHED) == 4
    assert len(search.finished()) == 4
    (failed,) = [run for run, result in search.ended_runs() if result.status is Status.FAILED]
    assert search.store.folder(failed.key).error.read_text() == "line 1"


def test_a_stopping_rule_ends_trials_and_never_baselines(workplace: Workplace, make_search: Make) -> None:
    file = workplace.load(
        "study.trials=8", "study.stopping={kind: successive_halving, eta: 2.0, first_rung_share: 0.25}"
    )
    search = make_search(file)
    Theatre(search).play()
    stopped = [run for run, result in search.ended_runs() if result.status is Status.STOPPED]
    assert stopped
    assert {run.arm.role for run in stopped} == {"searched"}
    pruned = [trial for trial in _trials(workplace) if trial.state.name == "PRUNED"]
    assert len(pruned) == len(stopped)
    assert all(trial.intermediate_values for trial in pruned)


def test_a_finished_trial_whose_folder_was_deleted_is_trained_again_and_told_once(
    workplace: Workplace, make_search: Make
) -> None:
    file = workplace.load("study.trials=4")
    search = make_search(file)
    Theatre(search).play()
    told = [(trial.state.name, trial.value) for trial in _trials(workplace)]
    best = next(c.run for c in search.finished() if c.run.trial is not None)
    shutil.rmtree(search.store.folder(best.key).path)
    again = make_search(file)
    assert again.pending()
    assert [job.key for job in Theatre(again).play()] == [best.key]
    assert len(again.finished()) == 2 + 4
    assert [(trial.state.name, trial.value) for trial in _trials(workplace)] == told
    assert not make_search(file).pending()


def test_where_all_runs_fail_the_search_is_given_up_and_the_next_command_tries_the_same_again(
    workplace: Workplace, make_search: Make
) -> None:
    file = workplace.load("study.trials=4")
    broken = Outcome(status=Status.FAILED, reason="RuntimeError: no kernel image", trace="line 1")
    stage = Theatre(make_search(file), end=lambda job: broken)
    with pytest.raises(UserError, match=r"the first 3 runs of the search all failed, the last of them with Runtime"):
        stage.play()
    assert [trial.state.name for trial in _trials(workplace)] == ["RUNNING"] * 2
    failed = [job.key for job in stage.played]
    jobs = [job.key for job in Theatre(make_search(file)).play()]
    assert set(failed) <= set(jobs)
    assert len(jobs) == 2 + 4
    assert [trial.state.name for trial in _trials(workplace)] == ["COMPLETE"] * 4


def test_failures_before_anything_has_worked_are_told_when_something_has(
    workplace: Workplace, make_search: Make
) -> None:
    broken = Outcome(status=Status.FAILED, reason="OSError: disk full", trace="line 1")
    ends = iter([broken, broken])
    search = make_search(workplace.load("study.trials=3", "study.baselines=[no_curriculum]"))
    Theatre(search, end=lambda job: next(ends, FINISHED)).play()
    assert [trial.state.name for trial in _trials(workplace)] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_baseline_that_failed_is_tried_again(workplace: Workplace, make_search: Make) -> None:
    file = workplace.load("study.trials=0")
    failed = Outcome(status=Status.FAILED, reason="OSError: disk full", trace="line 1")
    Theatre(make_search(file), end=lambda job: failed if order_of(job) == "none" else FINISHED).play()
    again = make_search(file)
    assert again.pending()
    assert [order_of(job) for job in Theatre(again).play()] == ["none"]
    assert not make_search(file).pending()


def test_leaders_controls_and_baselines_are_confirmed_on_fresh_seeds(workplace: Workplace, make_search: Make) -> None:
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


def _has_order(run: Run) -> bool:
    return not run.experiment.curriculum.canonical().order.all_at_once


def test_ordinary_training_is_confirmed_with_the_best_settings_that_it_was_tried_with(
    workplace: Workplace, make_search: Make
) -> None:
    search = make_search(workplace.load("study.trials=6"))
    Theatre(search).play()
    tried = [c.run for c in search.finished() if not _has_order(c.run)]
    confirmation = confirmation_of(search)
    reference = confirmation.run("no_curriculum", 1).experiment
    assert reference.training.learning_rate == tried[0].experiment.training.learning_rate != 1e-3


def test_the_next_round_waits_for_the_runs_of_this_one(workplace: Workplace, make_search: Make) -> None:
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
    workplace: Workplace, make_search: Make
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
    workplace: Workplace, make_search: Make
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


def test_a_leader_that_is_one_of_the_baselines_takes_no_place(workplace: Workplace, make_search: Make) -> None:
    file = workplace.load("study.trials=4")
    search = make_search(file)
    Theatre(search).play()
    curricula = [c for c in search.finished() if _has_order(c.run) and c.arm.role == "searched"]
    best = curricula[0]
    arm = replace(best.arm, values=file.baselines()[1].values)
    published = replace(best, run=file.run(arm, 0))
    confirmation = ConfirmationPhase(file, search.store, search.ledger, [published, *search.finished()], [])
    assert [leader.arm.values for leader in confirmation.leaders] == [best.arm.values]


def test_a_run_that_fails_holds_up_no_other_arm(workplace: Workplace, make_search: Make) -> None:
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


def test_a_confirmation_of_other_leaders_is_numbered(workplace: Workplace, make_search: Make) -> None:
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


def test_without_leaders_nothing_is_confirmed(workplace: Workplace, make_search: Make) -> None:
    search = make_search(workplace.load("study.trials=2", "study.confirmation.leaders=0"))
    Theatre(search).play()
    confirmation = confirmation_of(search)
    assert not confirmation.pending()
    assert confirmation.next() is Exhausted.DONE


def test_a_search_that_found_only_ordinary_training_confirms_the_baselines(
    workplace: Workplace, make_search: Make
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


def test_the_folder_of_a_run_tells_all_of_it(workplace: Workplace, make_search: Make) -> None:
    search = make_search(workplace.load("study.trials=0"))
    (job, *_) = Theatre(search).play()
    files = {path.name for path in Path(job.run_dir).iterdir()}
    assert {"experiment.json", "log.jsonl", "result.json"} <= files
