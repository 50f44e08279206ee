"""Searches of several seeds, several objectives and at a proxy's size; runs are played, not trained."""

import statistics
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from optuna.trial import FrozenTrial
from support.study import MakeSearch, optuna_trials, order_of
from support.theatre import FINISHED, Theatre, confirmation_of
from support.workplace import Workplace

from curriculum_search.models import DiT
from curriculum_search.runs.job import Exhausted, Job, Outcome, Status
from curriculum_search.training import Report


def hidden_size(job: Job) -> int:
    assert isinstance(job.experiment.model, DiT)
    return job.experiment.model.hidden_size


def _trials(workplace: Workplace, name: str = "tiny") -> list[FrozenTrial]:
    return optuna_trials(workplace.results / name)


def test_a_trial_of_several_seeds_is_worth_their_mean_and_one_stopped_run_ends_it(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    search = make_search(workplace.load("study.trials=3", "study.seeds_per_trial=2"))
    jobs = Theatre(search).play()
    assert Counter(job.experiment.seed for job in jobs) == {0: 2 + 3, 1: 2 + 3}
    for candidate in search.finished():
        seeds = [search.store.result(run.key) for run in search.runs_of(candidate.arm)]
        assert candidate.values[0] == pytest.approx(statistics.fmean(r.metrics["val_loss"] for r in seeds if r))
    told = {trial.number: trial.value for trial in _trials(workplace)}
    assert told == {c.run.trial: c.values[0] for c in search.finished() if c.run.trial is not None}
    assert confirmation_of(search).plan.first_seed == 2

    spoilt = make_search(workplace.load("study.trials=3", "study.seeds_per_trial=2", "study.name=spoilt"))
    diverged = Outcome(status=Status.DIVERGED, reason="nan")
    jobs = Theatre(spoilt, end=lambda job: diverged if order_of(job) == "none" else FINISHED).play()
    assert [t.state.name for t in _trials(workplace, "spoilt")].count("FAIL") == sum(
        t.params["curriculum.order.kind"] == '"none"' or t.params["curriculum.order.kind"] == "none"
        for t in _trials(workplace, "spoilt")
    )
    assert not make_search(spoilt.file).pending()


def test_a_proxy_searches_small_and_confirms_large(workplace: Workplace, make_search: MakeSearch) -> None:
    file = workplace.load("study.trials=4", "study.proxy={model.hidden_size: 8}")
    search = make_search(file)
    jobs = Theatre(search).play()
    assert {hidden_size(job) for job in jobs} == {8}
    confirmation = confirmation_of(search)
    (leader,) = confirmation.plan.leaders
    # The control has the exposure of the leader's first run at the full size, so that has to end before it can begin.
    jobs = []
    while isinstance(job := confirmation.next(), Job):
        jobs.append(job)
    assert job is Exhausted.WAIT
    assert jobs[0].key == confirmation.run("no_curriculum", 1).key
    assert confirmation.run(leader, 1).key in {job.key for job in jobs}
    assert set(confirmation.arms) == {"no_curriculum", "published", leader}
    exposure = {"edges": [0.0, 0.5, 1.0], "mass": [0.4, 0.6]}
    report = Report(images=320, metrics={"val_loss": 1.0, "fd_pca4_24": 1.0, "unlocked_share": 1.0})
    for job in jobs:
        confirmation.reported(job, replace(report, exposure=exposure))
        confirmation.ended(job, FINISHED)
    jobs = Theatre(confirmation).play()
    assert {hidden_size(job) for job in jobs} == {16}
    control = confirmation.arms[confirmation.plan.controls[leader]]
    assert control.values["density.mass"] == [0.4, 0.6]
    assert confirmation_of(search).arms == confirmation.arms  # after a restart
    assert not confirmation_of(search).pending()


@pytest.mark.parametrize(
    "proxy",
    [
        "study.proxy.model.hidden_size=8",
        "study.proxy={model: {kind: dit, hidden_size: 8}}",
        "study.proxy={model.hidden_size: 8}",
    ],
)
def test_a_proxy_is_written_by_dotted_path_or_nested_and_changes_nothing_else(
    workplace: Workplace, make_search: MakeSearch, proxy: str
) -> None:
    file = workplace.load("study.trials=3", proxy)
    assert isinstance(file.base.model, DiT)
    assert file.small == replace(file.base, model=replace(file.base.model, hidden_size=8))
    before = file.fingerprint()
    Theatre(make_search(file)).play()
    assert file.fingerprint() == before
    assert not make_search(workplace.load("study.trials=3", proxy)).pending()


def test_a_choice_that_is_a_mapping_stays_as_it_is_where_a_parameter_lies_below_it(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    space = (
        "space.curriculum.pacing={kind: categorical, choices: [{kind: linear, start_unlocked: 0.1}, {kind: root}]}",
        "space.curriculum.pacing.end_share={kind: float, low: 0.1, high: 0.8}",
    )
    Theatre(make_search(workplace.load("study.trials=6", *space))).play()
    assert len(Theatre(make_search(workplace.load("study.trials=8", *space))).play()) == 2
    assert {t.params["curriculum.pacing"] for t in _trials(workplace)} <= {
        '{"kind": "linear", "start_unlocked": 0.1}',
        '{"kind": "root"}',
    }


def test_with_several_objectives_the_leaders_come_from_the_pareto_set(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    file = workplace.load(
        "study.trials=8", "study.secondary_objectives=[images_to_baseline]", "study.confirmation.leaders=3"
    )
    search = make_search(file)
    Theatre(search).play()
    candidates = search.finished()
    by_name = {candidate.arm.name: candidate.values for candidate in candidates}
    # No curriculum needs all its images to come to its own end; the loss of a played run falls by 0.24 from first to
    # last, so that a run that ends lower by x is there sooner by x / 0.24 of the way.
    assert by_name["no_curriculum"][1] == pytest.approx(1.0)
    target = by_name["no_curriculum"][0]
    for value, images in by_name.values():
        if value > target:
            assert images == pytest.approx(1 + (value - target) / target)
        else:
            assert images == pytest.approx(max(1 - (target - value) * 1000 / 320, 80 / 320))
    front = search.pareto()
    assert front[0] == candidates[0]
    beaten = [c for c in candidates if any(all(np.less(o.values, c.values)) for o in candidates)]
    assert not [c for c in front if c in beaten]
    assert [trial.values for trial in _trials(workplace)] == [list(by_name[f"trial {n}"]) for n in range(8)]


def test_a_trial_waits_for_the_value_of_ordinary_training(workplace: Workplace, make_search: MakeSearch) -> None:
    file = workplace.load("study.trials=1", "study.secondary_objectives=[images_to_baseline]")
    search = make_search(file)
    baseline, published, trial = search.next(), search.next(), search.next()
    assert isinstance(baseline, Job)
    assert isinstance(published, Job)
    assert isinstance(trial, Job)
    for job in (trial, published):
        search.reported(job, Report(images=320, metrics={"val_loss": 1.0, "unlocked_share": 1.0}))
        search.ended(job, FINISHED)
    assert [t.state.name for t in _trials(workplace)] == ["RUNNING"]
    again = make_search(file)  # and the driver is killed
    first = again.next()
    assert isinstance(first, Job)
    assert first.key == baseline.key
    assert again.next() is Exhausted.DONE
    again.reported(first, Report(images=320, metrics={"val_loss": 2.0, "unlocked_share": 1.0}))
    again.ended(first, FINISHED)
    assert [t.state.name for t in _trials(workplace)] == ["COMPLETE"]


def test_a_trial_that_is_the_same_training_as_a_running_baseline_is_trained_once(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    file = workplace.load("study.trials=2", "space.training.learning_rate=null")
    search = make_search(file)
    jobs = []
    while isinstance(job := search.next(), Job):
        jobs.append(job)  # all at the same time
    assert len({job.key for job in jobs}) == len(jobs)
    for job in jobs:
        search.reported(job, Report(images=320, metrics={"val_loss": 1.0, "unlocked_share": 1.0}))
        search.ended(job, FINISHED)
    trials = _trials(workplace)
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 2
    assert any(trial.params["curriculum.order.kind"] in ("none", '"none"') for trial in trials)
    assert len(jobs) == 2 + 2 - 1
