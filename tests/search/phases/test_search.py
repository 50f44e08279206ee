"""What the search hands out, and what it makes of the ends; runs are played, not trained."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial
from support.spending import BASELINES, RESERVE, RUN
from support.study import MakeSearch, optuna_trials, order_of
from support.theatre import FINISHED, Theatre, confirmation_of
from support.workplace import Workplace

from curriculum_search.loading import UserError
from curriculum_search.runs.job import Exhausted, Job, Outcome, Status
from curriculum_search.runs.record import recorded_runs
from curriculum_search.training import Report


def test_the_baselines_come_first_then_as_many_trials_as_the_study_has(
    workplace: Workplace, make_search: MakeSearch
) -> None:
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


def test_ordinary_training_gets_as_many_tries_as_any_order(workplace: Workplace, make_search: MakeSearch) -> None:
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


def test_a_trial_whose_parameters_the_journal_has_lost_goes_on_with_the_run_that_has_begun(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    file = workplace.load("study.trials=6")
    first = Theatre(make_search(file))
    first.play(limit=4)
    first.end = lambda job: None
    begun = [job.key for job in first.play(limit=5)[-2:]]
    journal = workplace.results / file.study.name / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    # What the disk had when the machine lost its power: that the last trial is there, and half a line of what it is.
    first_lost = max(i for i, line in enumerate(lines) if "param_name" in line and "param_name" not in lines[i - 1])
    journal.write_text("".join(lines[:first_lost]) + lines[first_lost][:20])
    again = Theatre(make_search(file))
    again.end = lambda job: None
    assert [job.key for job in again.play(limit=2)] == begun


def test_after_a_restart_what_had_begun_comes_first_and_nothing_ended_comes_again(
    workplace: Workplace, make_search: MakeSearch
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


def test_more_trials_are_only_the_new_ones(workplace: Workplace, make_search: MakeSearch) -> None:
    Theatre(make_search(workplace.load("study.trials=3"))).play()
    assert not make_search(workplace.load("study.trials=3")).pending()
    assert len(Theatre(make_search(workplace.load("study.trials=5"))).play()) == 2


def test_a_run_that_ended_and_whose_end_was_not_told_is_told_and_not_trained(
    workplace: Workplace, make_search: MakeSearch
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


def _trials(workplace: Workplace) -> list[FrozenTrial]:
    return optuna_trials(workplace.results / "tiny")


def test_each_end_is_told_to_optuna_in_its_own_terms(workplace: Workplace, make_search: MakeSearch) -> None:
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


def test_a_stopping_rule_ends_trials_and_never_baselines(workplace: Workplace, make_search: MakeSearch) -> None:
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
    workplace: Workplace, make_search: MakeSearch
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
    workplace: Workplace, make_search: MakeSearch
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
    workplace: Workplace, make_search: MakeSearch
) -> None:
    broken = Outcome(status=Status.FAILED, reason="OSError: disk full", trace="line 1")
    ends = iter([broken, broken])
    search = make_search(workplace.load("study.trials=3", "study.baselines=[no_curriculum]"))
    Theatre(search, end=lambda job: next(ends, FINISHED)).play()
    assert [trial.state.name for trial in _trials(workplace)] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_baseline_that_failed_is_tried_again(workplace: Workplace, make_search: MakeSearch) -> None:
    file = workplace.load("study.trials=0")
    failed = Outcome(status=Status.FAILED, reason="OSError: disk full", trace="line 1")
    Theatre(make_search(file), end=lambda job: failed if order_of(job) == "none" else FINISHED).play()
    again = make_search(file)
    assert again.pending()
    assert [order_of(job) for job in Theatre(again).play()] == ["none"]
    assert not make_search(file).pending()


def test_the_folder_of_a_run_tells_all_of_it(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=0"))
    (job, *_) = Theatre(search).play()
    files = {path.name for path in Path(job.run_dir).iterdir()}
    assert {"experiment.json", "log.jsonl", "result.json"} <= files


HALVING = "study.stopping={kind: successive_halving, settle_share: null}"


@pytest.mark.parametrize("stopping", ["study.stopping={kind: none}", HALVING])
def test_the_search_keeps_to_the_images_and_leaves_the_confirmation_its_own(
    workplace: Workplace, make_search: MakeSearch, stopping: str
) -> None:
    images = (BASELINES + 6 + RESERVE) * RUN
    search = make_search(workplace.load(f"study.max_images={images}", "study.trials=40", stopping))
    jobs = Theatre(search).play()
    spent = sum(result.images for _, result in search.ended_runs())
    assert images - (RESERVE + 1) * RUN < spent <= images - RESERVE * RUN
    # What stopped trials have left over is for more trials, though they end when all that there is room for has begun.
    assert (len(jobs) > BASELINES + 6) is (stopping == HALVING)
    confirmation = confirmation_of(search)
    Theatre(confirmation).play()
    assert len(confirmation.values("val_loss")) == 4
    assert all(len(seeds) >= 2 for seeds in confirmation.values("val_loss").values())
    assert sum(run.images for run in recorded_runs(search.store.root)) <= images
    assert not make_search(search.file).pending()
