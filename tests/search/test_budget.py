"""What may be begun, as a function of a study's design, its limits and its account; and what limits are refused.

The study has 2 baselines and 3 trials of 320 images each, and at least 12 runs in its confirmation: 2 seeds of the
leader, its control, the published setting and the leader's settings without a curriculum, and 4 of ordinary training.
"""

from dataclasses import replace

import pytest
from support.spending import BASELINES, RESERVE, RUN
from support.workplace import Workplace

from curriculum_search.experiment import Experiment, Resources, Training
from curriculum_search.loading import UserError
from curriculum_search.search.budget import Account, Budget, Limits, check_limits
from curriculum_search.search.design import Design
from curriculum_search.search.statistics.comparison import Plan

FULL = Experiment(training=Training(total_images=RUN, batch_size=16, num_evaluations=4))
PLAN = Plan(
    reference="no_curriculum",
    leaders=("leader 1",),
    controls={"leader 1": "leader 1 / exposure"},
    baselines=("published",),
    reference_variants=1,
    min_seeds=2,
    max_seeds=2,
    first_seed=1,
)
DESIGN = Design(small=FULL, full=FULL, proxy=False, baselines=BASELINES, per_trial=1, trials=3, plan=PLAN, ablation=0)
#: Of a study that has not begun, on a cluster that nothing is known of.
NOTHING = Account(
    images=0,
    seconds=0.0,
    gpu_seconds=0.0,
    shares=(),
    begun_images=0,
    confirmed=0,
    concurrency={"small": None, "full": None},
    run_seconds={"small": None, "full": None},
    start_up=0.0,
    started=False,
    closed=frozenset(),
    pristine=True,
)
WAITING = [RUN] * BASELINES


def sized(training: Training, *, resources: Resources | None = None) -> Experiment:
    return Experiment(training=training, resources=resources or Resources())


def timed(concurrency: int, run_seconds: float, account: Account = NOTHING) -> Account:
    """An account that knows of the cluster's room, and how long runs last."""
    return replace(
        account,
        concurrency={"small": concurrency, "full": concurrency},
        run_seconds={"small": run_seconds, "full": run_seconds},
    )


def hours_for(runs: float) -> float:
    """Hours for so many runs of 100 seconds one after the other: a tenth more than expected, against underestimates."""
    return 1.11 * runs * 100 / 3600


def test_the_designs_parts_are_those_of_the_tiny_study(workplace: Workplace) -> None:
    of_file = Design.of(workplace.load())
    assert (DESIGN.reserve, DESIGN.least_images) == (of_file.reserve, of_file.least_images)
    assert DESIGN.reserve == RESERVE
    assert of_file.plan is not None
    assert of_file.plan.least_runs == PLAN.least_runs


def test_without_limits_as_much_may_begin_as_one_likes() -> None:
    limits = Limits()
    assert not limits.any
    budget = Budget(design=DESIGN, limits=limits, account=replace(NOTHING, images=10**9, seconds=10**9))
    assert budget.trials_left(WAITING, 7) == 7
    assert budget.trials_left(WAITING, -1) == 0
    assert budget.runs_left() is None
    assert budget.fitting([RUN] * 24) == 24


@pytest.mark.parametrize(("spare", "trials"), [(0, 1), (RUN - 1, 1), (RUN, 2), (10 * RUN, 3)])
def test_trials_get_what_the_baselines_and_the_confirmation_leave(spare: int, trials: int) -> None:
    limits = Limits(max_images=(BASELINES + 1 + RESERVE) * RUN + spare)
    assert Budget(design=DESIGN, limits=limits, account=NOTHING).trials_left(WAITING, 3) == trials


def test_what_is_under_way_has_its_images_kept_to_its_end() -> None:
    limits = Limits(max_images=(BASELINES + 2 + RESERVE) * RUN)
    begun = replace(NOTHING, images=BASELINES * RUN + 80, begun_images=RUN - 80, pristine=False)
    assert Budget(design=DESIGN, limits=limits, account=begun).trials_left([], 3) == 1
    stopped = replace(begun, begun_images=0)  # what it has left over is less than a trial
    assert Budget(design=DESIGN, limits=limits, account=stopped).trials_left([], 3) == 1
    at_once = replace(begun, images=BASELINES * RUN, begun_images=0)
    assert Budget(design=DESIGN, limits=limits, account=at_once).trials_left([], 3) == 2


def test_a_trial_needs_room_for_all_its_seeds() -> None:
    limits = Limits(max_images=(2 * BASELINES + 3 + RESERVE) * RUN)
    design = replace(DESIGN, baselines=2 * BASELINES, per_trial=2)
    assert Budget(design=design, limits=limits, account=NOTHING).trials_left([RUN] * 4, 3) == 1


def test_the_ablation_is_kept_out_of_the_confirmation() -> None:
    budget = Budget(design=replace(DESIGN, ablation=6), limits=Limits(max_images=100_000), account=NOTHING)
    assert budget.runs_left() == 100_000 // RUN - 6
    assert budget.runs_left(ablation=True) == 100_000 // RUN


def test_what_is_confirmed_already_is_not_reserved_again() -> None:
    limits = Limits(max_images=(BASELINES + 2 + RESERVE) * RUN)
    confirmed = replace(NOTHING, images=(BASELINES + 2) * RUN, confirmed=2)
    assert Budget(design=DESIGN, limits=limits, account=confirmed).trials_left([], 8) == 2


def test_of_runs_that_were_interrupted_only_the_rest_is_due() -> None:
    budget = Budget(design=DESIGN, limits=Limits(max_images=20 * RUN), account=replace(NOTHING, images=240))
    assert budget.runs_left() == 19
    assert budget.runs_left(begun_images=240) == 20


def test_with_a_proxy_the_search_is_small_and_the_reserve_is_not() -> None:
    small = sized(Training(total_images=160, batch_size=16, num_evaluations=4))
    limits = Limits(max_images=BASELINES * 160 + RESERVE * RUN + 3 * 160)
    budget = Budget(design=replace(DESIGN, small=small, proxy=True), limits=limits, account=NOTHING)
    assert budget.trials_left([160] * BASELINES, 9) == 3


@pytest.mark.parametrize(
    ("runs", "trials"), [(2 + 12 + 5, 5), (40, 40 - 2 - 20), (72, 72 - 2 - 36), (100, 100 - 2 - 36)]
)
def test_the_search_keeps_back_what_the_leaders_may_need_up_to_half_of_the_budget(runs: int, trials: int) -> None:
    """Two baselines; the least confirmation is 12 runs, and one in which the leaders have 8 seeds 12 + 6 * 4."""
    design = replace(DESIGN, plan=replace(PLAN, max_seeds=8))
    assert design.whole_confirmation == 36
    assert (
        Budget(design=design, limits=Limits(max_images=runs * RUN), account=NOTHING).trials_left(WAITING, 99) == trials
    )


def test_images_left_are_enough_for_runs_in_their_order() -> None:
    budget = Budget(design=DESIGN, limits=Limits(max_images=1000), account=replace(NOTHING, images=100))
    assert budget.fitting([320, 320, 260]) == 3
    assert budget.fitting([320, 320, 261]) == 2
    assert budget.fitting([]) == 0


# Time.


@pytest.mark.parametrize(
    ("concurrency", "runs_of_time", "trials"),
    [
        (1, BASELINES + RESERVE, 0),
        (1, BASELINES + RESERVE + 2, 2),
        (4, 1 + 3, 2),  # the two baselines and two trials at once, then ten runs in three rounds
        (4, 2 + 3, 6),
        (4, 1 + 2, 0),
    ],
)
def test_hours_are_laid_out_over_what_runs_at_once(concurrency: int, runs_of_time: int, trials: int) -> None:
    budget = Budget(design=DESIGN, limits=Limits(max_hours=hours_for(runs_of_time)), account=timed(concurrency, 100))
    assert budget.trials_left(WAITING, 9) == trials


def test_a_run_under_way_takes_its_place_for_the_rest_of_its_time() -> None:
    limits = Limits(max_hours=hours_for(RESERVE + 3))
    for shares, trials in (((), 3), ((0.0,), 2), ((0.5,), 2), ((1.0,), 3)):
        account = timed(1, 100, replace(NOTHING, shares=shares, started=True, pristine=False))
        assert Budget(design=DESIGN, limits=limits, account=account).trials_left([], 9) == trials


def test_time_is_kept_for_the_start_of_each_phase() -> None:
    limits = Limits(max_hours=hours_for(BASELINES + RESERVE + 2))
    for start_up, trials in ((0.0, 2), (100.0, 1)):
        account = replace(timed(1, 100), start_up=start_up)
        assert Budget(design=DESIGN, limits=limits, account=account).trials_left(WAITING, 9) == trials
    six_minutes = Budget(design=DESIGN, limits=Limits(max_hours=0.1), account=timed(1, 100))
    assert six_minutes.runs_left() == 3
    starting = replace(six_minutes, account=replace(timed(1, 100), start_up=100.0))
    assert starting.runs_left() == 2
    assert replace(starting, account=replace(starting.account, started=True)).runs_left() == 3


def test_runs_that_time_was_kept_for_are_run_even_if_it_was_too_little() -> None:
    for max_images, left in ((3200, 10), (None, 12)):
        limits = Limits(max_hours=1, max_images=max_images)
        budget = Budget(design=DESIGN, limits=limits, account=timed(1, 4000))
        assert budget.runs_left() == 0
        assert budget.runs_left(granted=12) == left  # images are never exceeded


def test_the_confirmation_gets_the_rounds_that_fit() -> None:
    limits = Limits(max_hours=350 / 3600)
    assert Budget(design=DESIGN, limits=limits, account=timed(4, 100)).runs_left() == 3 * 4
    assert Budget(design=DESIGN, limits=limits, account=timed(1, 400)).runs_left() == 0


def test_as_long_as_nothing_is_known_of_time_it_ends_the_search_only_when_it_is_over() -> None:
    for seconds, trials, runs in ((3599.0, 3, None), (3600.0, 0, 0)):
        budget = Budget(design=DESIGN, limits=Limits(max_hours=1), account=replace(NOTHING, seconds=seconds))
        assert budget.trials_left([], 3) == trials
        assert budget.runs_left() == runs


def test_a_phase_that_time_has_ended_stays_ended() -> None:
    limits = Limits(max_hours=1)
    for closed, left in (({"search"}, (0, 36, 36)), ({"confirmation"}, (3, 0, 36)), ({"ablation"}, (3, 36, 0))):
        budget = Budget(design=DESIGN, limits=limits, account=replace(timed(1, 90), closed=frozenset(closed)))
        assert (budget.trials_left([], 3), budget.runs_left(), budget.runs_left(ablation=True)) == left


def test_gpu_hours_count_workers_and_share_and_what_is_under_way() -> None:
    full = sized(FULL.training, resources=Resources(workers=2, gpus_per_worker=1))
    design = replace(DESIGN, small=full, full=full)
    limits = Limits(max_gpu_hours=2 * hours_for(BASELINES + 2 + RESERVE))
    account = timed(3, 100)
    assert Budget(design=design, limits=limits, account=account).trials_left(WAITING, 9) == 2
    spent = replace(account, gpu_seconds=2 * 1.11 * 100)
    assert Budget(design=design, limits=limits, account=spent).trials_left(WAITING, 9) == 1
    half = replace(account, shares=(0.5, 0.5))  # of two runs under way, one run's time is to come
    assert Budget(design=design, limits=limits, account=half).trials_left(WAITING, 9) == 1
    assert Budget(design=design, limits=limits, account=account).runs_left() == BASELINES + 2 + RESERVE


# What is refused.


def test_too_little_time_is_refused_when_a_run_has_been_measured() -> None:
    limits = Limits(max_hours=0.25)
    Budget(design=DESIGN, limits=limits, account=timed(2, 100)).check_time("study.yaml")
    with pytest.raises(UserError, match=r"study.max_hours: 0.25 is not enough for .*which take about 0.46 hours "):
        Budget(design=DESIGN, limits=limits, account=timed(1, 100)).check_time("study.yaml")
    # A study that has begun goes on with what it has.
    begun = timed(1, 100, replace(NOTHING, pristine=False))
    Budget(design=DESIGN, limits=limits, account=begun).check_time("study.yaml")


def test_too_few_gpu_hours_are_refused_with_how_many_would_do() -> None:
    gpu = sized(FULL.training, resources=Resources(gpus_per_worker=1))
    design, account = replace(DESIGN, small=gpu, full=gpu), timed(4, 100)
    least = 1.1 * (BASELINES + 1 + RESERVE) * 100 / 3600
    Budget(design=design, limits=Limits(max_gpu_hours=least + 1e-9), account=account).check_time("study.yaml")
    with pytest.raises(UserError) as error:
        Budget(design=design, limits=Limits(max_gpu_hours=0.1), account=account).check_time("study.yaml")
    assert str(error.value).startswith(
        "study.yaml: study.max_gpu_hours: 0.1 is not enough for 2 baseline runs, one trial and the least confirmation "
        "(12 runs), which take about 0.46 GPU-hours as measured on a few steps; "
    )


@pytest.mark.parametrize("overrides", [(), ("study.trials=0",), ("study.confirmation.leaders=0",)])
def test_a_budget_too_small_for_a_verdict_is_refused_with_the_least_that_would_do(
    workplace: Workplace, overrides: tuple[str, ...]
) -> None:
    least = Design.of(workplace.load(*overrides)).least_images
    check_limits(workplace.load(*overrides, f"study.max_images={least}"))
    with pytest.raises(UserError) as error:
        check_limits(workplace.load(*overrides, f"study.max_images={least - 1}"))
    assert f"{workplace.study}: study.max_images: {least - 1:,} is not enough for 2 baseline runs" in str(error.value)
    assert f"which need {least:,}; " in str(error.value)
    assert str(error.value).count("\n") == 0


def test_gpu_hours_without_gpus_are_refused(workplace: Workplace) -> None:
    with pytest.raises(UserError, match=r"study.max_gpu_hours: 5 limits nothing, for base.resources.gpus_per_worker"):
        check_limits(workplace.load("study.max_gpu_hours=5"))
