"""What a study may cost and what it has cost; runs are told, not trained."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.theatre import Theatre, confirmation_of
from support.workplace import Workplace

from curriculum_search.loading import UserError
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Outcome, Status
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.store import recorded_runs
from curriculum_search.search.arms import Run, baseline
from curriculum_search.search.budget import check_limits
from curriculum_search.search.design import SIZES, Design, most_steps
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.space import Categorical, Float, Int, Space
from curriculum_search.search.study import StudyFile
from curriculum_search.training import Report

# The tiny study has 2 baselines and 3 trials of 320 images each, and at least 12 runs in its confirmation: 2 seeds of
# the leader, its control, the published setting and the leader's settings without a curriculum, and 4 of ordinary
# training.
RUN, BASELINES, RESERVE = 320, 2, 12


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(workplace: Workplace) -> Path:
    path: Path = workplace.results / "tiny"
    (path / "runs").mkdir(parents=True)
    return path


@pytest.fixture
def open_ledger(make_store: Any, folder: Path, clock: Clock) -> Callable[[StudyFile], Ledger]:
    """The ledger of a study as a command that has just been started finds it."""
    return lambda file: Ledger(file, make_store(file, clock))


Open = Callable[[StudyFile], Ledger]


def run_of(file: StudyFile, seed: int = 0, *, small: bool = True, order: str = "no_curriculum") -> Run:
    return file.run(baseline(order, file.small if small else file.base), seed, small=small)  # type: ignore[arg-type]


def trial_of(file: StudyFile, rate: float) -> Run:
    return file.trial({"training.learning_rate": rate, "curriculum.order.kind": "none"})


def baselines(file: StudyFile) -> list[Run]:
    return [file.run(arm, 0, small=True) for arm in file.baselines(small=True)]


def record(
    folder: Path, run: Run, *, images: int, status: Status | None = Status.FINISHED, seconds: float = 0.0
) -> None:
    """Leave a run's folder as an earlier command would have."""
    of_run = RunFolder(folder / "runs" / run.key)
    of_run.write_experiment(run.experiment, {})
    of_run.write_report(Report(images=images, metrics={}))
    if status is not None:
        of_run.write_result(RunResult(status=status, metrics={}, images=images, seconds=seconds))


def begin(ledger: Ledger, run: Run) -> None:
    ledger.store.start(run.key, run.experiment, name=run.arm.name, tags={})


def report(ledger: Ledger, run: Run, images: int) -> None:
    ledger.store.reported(run.key, Report(images=images, metrics={}))


def end(ledger: Ledger, run: Run, status: Status = Status.FINISHED) -> None:
    live = ledger.store.live[run.key]
    ledger.store.ended(run.key, Outcome(status=status))
    ledger.ended(live, "small" if run.experiment.seed in ledger.file.search_seeds else "full", status)


def play(ledger: Ledger, clock: Clock, run: Run, *, seconds: float, images: int = RUN) -> None:
    """Have a run begin and end."""
    begin(ledger, run)
    clock.now += seconds
    report(ledger, run, images)
    end(ledger, run, Status.FINISHED if images == RUN else Status.STOPPED)


def trials_left(ledger: Ledger, waiting: list[Run], most: int) -> int:
    return ledger.budget.trials_left([ledger.rest(run) for run in waiting], most)


def test_without_limits_there_is_always_room(workplace: Workplace, folder: Path, open_ledger: Open) -> None:
    file = workplace.load()
    record(folder, run_of(file), images=RUN)
    ledger = open_ledger(file)
    assert not ledger.limits.any
    assert trials_left(ledger, baselines(file), 7) == 7
    assert ledger.budget.runs_left() is None
    assert not ledger.may_grow


@pytest.mark.parametrize(("spare", "trials"), [(0, 1), (RUN - 1, 1), (RUN, 2), (10 * RUN, 3)])
def test_trials_get_what_the_baselines_and_the_confirmation_leave(
    workplace: Workplace, folder: Path, open_ledger: Open, spare: int, trials: int
) -> None:
    file = workplace.load(f"study.max_images={(BASELINES + 1 + RESERVE) * RUN + spare}")
    assert Design.of(file).reserve == RESERVE
    assert trials_left(open_ledger(file), baselines(file), 3) == trials


def test_what_is_under_way_is_counted_to_its_end_and_what_was_stopped_as_far_as_it_came(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load(f"study.max_images={(BASELINES + 2 + RESERVE) * RUN}")
    ledger = open_ledger(file)
    for of in baselines(file):
        play(ledger, clock, of, seconds=1)
    trial = trial_of(file, 5e-3)
    assert trials_left(ledger, [], 3) == 2
    begin(ledger, trial)
    report(ledger, trial, 80)
    assert ledger.images == BASELINES * RUN + 80
    assert trials_left(ledger, [], 3) == 1
    assert ledger.may_grow
    end(ledger, trial, Status.STOPPED)
    assert not ledger.may_grow
    assert trials_left(ledger, [], 3) == 1  # what it has left over is less than a trial
    assert ledger.images == BASELINES * RUN + 80


def test_a_trial_needs_room_for_all_its_seeds(workplace: Workplace, folder: Path, open_ledger: Open) -> None:
    images = (2 * BASELINES + 3 + RESERVE) * RUN
    file = workplace.load("study.seeds_per_trial=2", f"study.max_images={images}")
    waiting = [file.run(arm, seed, small=True) for arm in file.baselines(small=True) for seed in (0, 1)]
    assert trials_left(open_ledger(file), waiting, 3) == 1


def test_every_run_that_an_earlier_command_left_is_counted(
    workplace: Workplace, folder: Path, open_ledger: Open
) -> None:
    file = workplace.load(f"study.max_images={(BASELINES + 3 + RESERVE) * RUN}", "study.trials=9")
    left = [2e-3, 3e-3, 4e-3]
    trials = [trial_of(file, r) for r in left]
    for of in baselines(file):
        record(folder, of, images=RUN)
    record(folder, trials[0], images=240, status=Status.STOPPED)
    record(folder, trials[1], images=160, status=Status.FAILED)
    record(folder, trials[2], images=80, status=None)
    ledger = open_ledger(file)
    assert ledger.images == BASELINES * RUN + 240 + 160 + 80
    # The one that was interrupted is gone on with: it needs the rest of its images, not all of them.
    assert trials_left(ledger, [trials[2]], 9) == (3 * RUN - 240 - 160 - RUN) // RUN
    assert trials_left(open_ledger(workplace.load(f"study.max_images={RUN * 100}")), [trials[2]], 9) == 9


def test_an_interrupted_study_has_room_for_as_many_trials_as_before(
    workplace: Workplace, folder: Path, open_ledger: Open
) -> None:
    """Nothing is counted twice: neither the part of a run that was trained, nor a run that failed and is repeated."""
    file = workplace.load(f"study.max_images={(BASELINES + 3 + RESERVE) * RUN}")
    first, second = baselines(file)
    record(folder, first, images=240, status=None)
    record(folder, second, images=80, status=Status.FAILED)
    ledger = open_ledger(file)
    assert trials_left(ledger, [first, second], 9) == 3
    begin(ledger, first)
    assert trials_left(ledger, [second], 9) == 3
    begin(ledger, second)
    assert trials_left(ledger, [], 9) == 3


def test_the_config_of_a_run_may_be_half_written(workplace: Workplace, folder: Path, open_ledger: Open) -> None:
    file = workplace.load("study.max_images=100000")
    record(folder, run_of(file), images=160, status=None)
    (folder / "runs" / run_of(file).key / "experiment.json").write_text('{"data": {"ki')
    assert open_ledger(file).images == 160


def test_the_confirmation_gets_what_is_left(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load(f"study.max_images={20 * RUN + 100}")
    ledger = open_ledger(file)
    for of in baselines(file):
        play(ledger, clock, of, seconds=1)
    assert ledger.budget.runs_left() == 18
    run = run_of(file, 1, small=False)
    begin(ledger, run)
    report(ledger, run, 160)
    with ledger.at_work():
        pass  # interrupted
    record(folder, run, images=160, status=None)
    for of in baselines(file):
        record(folder, of, images=RUN)
    resumed = open_ledger(file)
    assert resumed.interrupted == {run.key}
    assert resumed.budget.runs_left() == 17
    assert resumed.budget.runs_left(resumed.begun_images([run.key])) == 18


def test_the_ablation_is_kept_out_of_the_confirmation(workplace: Workplace, folder: Path, open_ledger: Open) -> None:
    file = workplace.load("study.max_images=100000", "study.ablation_seeds=2")
    assert Design.of(file).ablation == 2 * 3
    ledger = open_ledger(file)
    assert ledger.budget.runs_left() == 100000 // RUN - 6
    assert ledger.budget.runs_left(ablation=True) == 100000 // RUN


def test_what_is_confirmed_already_is_not_reserved_again(workplace: Workplace, folder: Path, open_ledger: Open) -> None:
    """With a budget that was raised by two trials and what a new leader needs, two more trials are run."""
    spent = (BASELINES + 1 + RESERVE) * RUN
    leader_control_reference = 2 + 2 + 4
    file = workplace.load(f"study.max_images={spent + (2 + leader_control_reference) * RUN}", "study.trials=9")
    for of in baselines(file):
        record(folder, of, images=RUN)
    record(folder, trial_of(file, 2e-3), images=RUN)
    for seed in (1, 2):
        record(folder, run_of(file, seed, small=False, order="published"), images=RUN)
    for seed in range(3, 11):  # standing for the other arms
        record(folder, run_of(file, seed, small=False), images=RUN)
    assert trials_left(open_ledger(file), [], 8) == 2


def test_with_a_proxy_the_search_is_small_and_the_reserve_is_not(
    workplace: Workplace, folder: Path, open_ledger: Open
) -> None:
    images = BASELINES * 160 + RESERVE * RUN + 3 * 160
    file = workplace.load(f"study.max_images={images}", "study.proxy={training.total_images: 160}", "study.trials=9")
    assert trials_left(open_ledger(file), baselines(file), 9) == 3


# Time.


def timed(ledger: Ledger, *, concurrency: int, run_seconds: float) -> Ledger:
    for size in SIZES:
        ledger.set_concurrency(size, concurrency)
        ledger.expect(size, run_seconds)
    return ledger


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
def test_hours_are_laid_out_over_what_runs_at_once(
    workplace: Workplace,
    folder: Path,
    open_ledger: Open,
    clock: Clock,
    concurrency: int,
    runs_of_time: int,
    trials: int,
) -> None:
    hours = 1.11 * runs_of_time * 100 / 3600  # a tenth more than expected, against underestimates
    file = workplace.load(f"study.max_hours={hours}", "study.trials=9")
    ledger = timed(open_ledger(file), concurrency=concurrency, run_seconds=100)
    assert trials_left(ledger, baselines(file), 9) == trials


def test_runs_that_have_ended_say_how_long_a_run_lasts(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load("study.max_hours=1")
    ledger = timed(open_ledger(file), concurrency=1, run_seconds=100)
    with ledger.at_work():
        play(ledger, clock, baselines(file)[0], seconds=30)
        play(ledger, clock, baselines(file)[1], seconds=10, images=80)
    assert ledger.run_seconds("small") == ledger.run_seconds("full") == pytest.approx(40 / 400 * 320)
    assert open_ledger(file).run_seconds("full") == pytest.approx(32)


def test_starting_a_process_is_not_taken_for_training(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load("study.max_hours=1")
    ledger = timed(open_ledger(file), concurrency=1, run_seconds=100)
    for run, start in zip(baselines(file), (50, 1), strict=True):  # the second finds the process there
        begin(ledger, run)
        clock.now += start
        report(ledger, run, 80)
        clock.now += 3
        report(ledger, run, 320)
        end(ledger, run, Status.FINISHED)
        assert ledger.run_seconds("full") == pytest.approx(4)


def test_time_is_kept_for_the_start_of_each_phase(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load(f"study.max_hours={1.11 * (BASELINES + RESERVE + 2) * 100 / 3600}", "study.ablation_seeds=0")
    ledger = timed(open_ledger(file), concurrency=1, run_seconds=100)
    assert trials_left(ledger, baselines(file), 9) == 2
    ledger.expect("full", 100, start_up=100)
    assert trials_left(ledger, baselines(file), 9) == 1
    assert (
        timed(open_ledger(workplace.load("study.max_hours=0.1")), concurrency=1, run_seconds=100).budget.runs_left()
        == 3
    )


def test_runs_that_time_was_kept_for_are_run_even_if_it_was_too_little(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    for limits, left in (("study.max_images=3200", 10), ("study.max_images=null", 12)):
        file = workplace.load("study.max_hours=1", limits)
        ledger = timed(open_ledger(file), concurrency=1, run_seconds=4000)
        assert ledger.budget.runs_left() == 0
        assert ledger.budget.runs_left(granted=12) == left  # images are never exceeded


def test_the_proxys_runs_say_nothing_of_the_targets(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load("study.max_hours=1", "study.proxy={training.total_images: 160}")
    ledger = timed(open_ledger(file), concurrency=1, run_seconds=100)
    small, full = run_of(file), run_of(file, 1, small=False)
    begin(ledger, small)
    clock.now += 7
    report(ledger, small, 160)
    end(ledger, small, Status.FINISHED)
    assert (ledger.run_seconds("small"), ledger.run_seconds("full")) == (7, 100)
    play(ledger, clock, full, seconds=50)
    assert (ledger.run_seconds("small"), ledger.run_seconds("full")) == (7, 50)


def test_a_run_that_was_resumed_counts_for_the_images_that_it_saw_since(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load("study.max_hours=1")
    record(folder, baselines(file)[0], images=240, status=None)
    ledger = open_ledger(file)
    play(ledger, clock, baselines(file)[0], seconds=10)
    assert ledger.run_seconds("full") == pytest.approx(10 / 80 * 320)


def test_time_is_kept_over_restarts(workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock) -> None:
    file = workplace.load("study.max_hours=1", "study.max_gpu_hours=1", "base.resources.gpus_per_worker=0.5")
    ledger = open_ledger(file)
    clock.now += 1000  # not at work
    with ledger.at_work():
        begin(ledger, baselines(file)[0])
        clock.now += 100
    again = open_ledger(file)
    clock.now += 1000
    assert (again.seconds, again.gpu_seconds) == (100, 50)
    with again.at_work():
        clock.now += 11
    assert open_ledger(file).seconds == 111


def test_a_killed_command_loses_less_than_a_minute(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load()  # without limits as well, for there may be some later
    ledger = open_ledger(file)
    killed = ledger.at_work()
    killed.__enter__()
    begin(ledger, baselines(file)[0])
    for _ in range(1000):
        clock.now += 1
        ledger.tick()
    assert 940 < open_ledger(file).seconds <= 1000


def test_gpu_hours_count_workers_and_share(workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock) -> None:
    gpus = "base.resources={workers: 2, gpus_per_worker: 1}"
    runs = BASELINES + 2 + RESERVE
    file = workplace.load(gpus, f"study.max_gpu_hours={1.11 * runs * 2 * 100 / 3600}", "study.trials=9")
    ledger = timed(open_ledger(file), concurrency=3, run_seconds=100)
    assert trials_left(ledger, baselines(file), 9) == 2
    record(folder, baselines(file)[0], images=RUN, seconds=300)
    assert open_ledger(file).gpu_seconds == 600


def test_when_time_is_over_nothing_begins(workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock) -> None:
    file = workplace.load("study.max_hours=1")
    ledger = open_ledger(file)
    with ledger.at_work():
        clock.now += 3599
        assert trials_left(ledger, [], 3) == 3  # nobody knows how long a run lasts
        clock.now += 2
        assert trials_left(ledger, [], 3) == 0
        assert ledger.budget.runs_left() == 0


def test_the_confirmation_gets_the_rounds_that_fit(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load(f"study.max_hours={350 / 3600}")
    assert timed(open_ledger(file), concurrency=4, run_seconds=100).budget.runs_left() == 3 * 4
    assert timed(open_ledger(file), concurrency=1, run_seconds=400).budget.runs_left() == 0


def test_what_time_has_ended_stays_ended_until_there_is_more(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load("study.max_hours=1")
    ledger = timed(open_ledger(file), concurrency=1, run_seconds=1)
    assert trials_left(ledger, [], 3) == 3
    for phase in ("search", "confirmation"):
        ledger.close(phase)
    again = open_ledger(file)
    assert trials_left(again, [], 3) == 0
    assert again.budget.runs_left() == 0
    more = open_ledger(workplace.load("study.max_hours=2"))
    assert trials_left(more, [], 3) == 3
    assert more.budget.runs_left() is not None


# What is refused.


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


def test_the_least_is_the_sum_of_its_parts(workplace: Workplace) -> None:
    assert Design.of(workplace.load()).least_images == (BASELINES + 1 + RESERVE) * RUN
    with_ablation = workplace.load("study.ablation_seeds=3", "study.seeds_per_trial=2")
    assert Design.of(with_ablation).least_images == (2 * BASELINES + 2 + RESERVE + 3 * 3) * RUN


def test_gpu_hours_without_gpus_are_refused(workplace: Workplace) -> None:
    with pytest.raises(UserError, match=r"study.max_gpu_hours: 5 limits nothing, for base.resources.gpus_per_worker"):
        check_limits(workplace.load("study.max_gpu_hours=5"))


def test_too_little_time_is_refused_when_a_run_has_been_measured(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load("study.max_hours=0.25")
    timed(open_ledger(file), concurrency=2, run_seconds=100).budget.check_time(str(file.path))
    with pytest.raises(UserError, match=r"study.max_hours: 0.25 is not enough for .*which take about 0.46 hours "):
        timed(open_ledger(file), concurrency=1, run_seconds=100).budget.check_time(str(file.path))
    record(folder, baselines(file)[0], images=RUN)  # a study that has begun goes on with what it has
    timed(open_ledger(file), concurrency=1, run_seconds=100).budget.check_time(str(file.path))


# By the phases.

HALVING = "study.stopping={kind: successive_halving, settle_share: null}"


@pytest.mark.parametrize("stopping", ["study.stopping={kind: none}", HALVING])
def test_the_search_keeps_to_the_images_and_leaves_the_confirmation_its_own(
    workplace: Workplace, make_search: Callable[[StudyFile], SearchPhase], stopping: str
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


def test_the_confirmation_keeps_to_the_images(
    workplace: Workplace, make_search: Callable[[StudyFile], SearchPhase]
) -> None:
    """The seeds of an undecided study end with the budget, not with max_seeds, and are planned so."""
    overrides = "study.trials=4", "study.confirmation={min_seeds: 2, max_seeds: 40, leaders: 1}"
    images = (BASELINES + 4 + RESERVE + 7) * RUN
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


def test_the_search_keeps_back_what_the_leaders_may_need_up_to_half_of_the_budget(
    workplace: Workplace, folder: Path, open_ledger: Open
) -> None:
    """Two baselines; the least confirmation is 12 runs, and one in which the leaders have 8 seeds 12 + 6 * 4."""
    for runs, trials in ((2 + 12 + 5, 5), (40, 40 - 2 - 20), (72, 72 - 2 - 36), (100, 100 - 2 - 36)):
        overrides = "study.trials=99", "study.confirmation.max_seeds=8", f"study.max_images={runs * RUN}"
        file = workplace.load(*overrides)
        assert Design.of(file).whole_confirmation == 36
        assert trials_left(open_ledger(file), baselines(file), 99) == trials


def test_images_left_are_enough_for_the_runs_that_are_begun_not_for_others_that_were_interrupted(
    workplace: Workplace, folder: Path, open_ledger: Open
) -> None:
    file = workplace.load(f"study.max_images={20 * RUN}")
    runs = [run_of(file, seed, small=False) for seed in range(1, 25)]
    record(folder, runs[0], images=240, status=None)
    ledger = open_ledger(file)
    assert ledger.budget.runs_left(ledger.begun_images([runs[0].key])) == 20
    assert ledger.budget.fitting(map(ledger.rest, runs)) == 20
    assert ledger.budget.fitting(map(ledger.rest, runs[1:])) == 19
    assert open_ledger(workplace.load()).budget.fitting([RUN] * 24) == 24


def test_runs_that_another_study_has_trained_cost_nothing(
    workplace: Workplace, folder: Path, open_ledger: Open
) -> None:
    file = workplace.load(f"study.max_images={(BASELINES + 1 + RESERVE) * RUN}")
    record(folder, baselines(file)[0], images=RUN)
    spent = open_ledger(file).images
    (folder / "runs" / baselines(file)[0].key / "adopted").touch()
    assert (spent, open_ledger(file).images) == (RUN, 0)


def test_the_steps_of_an_ablation_are_those_of_the_longest_configuration() -> None:
    rate = Float(low=1.0, high=2.0)
    order = Categorical(choices=("none", "a", "b"))
    only_a = {"x": Int(low=1, high=3, when={"curriculum.order.kind": "a"})}
    of_x = {"y": Float(low=0, high=1, when={"x": [2, 3]}), "z": Float(low=0, high=1, when={"x": 1})}
    space: Callable[..., int] = lambda **parameters: most_steps(Space(parameters=parameters))  # noqa: E731
    assert space(rate=rate) == 2
    assert space(rate=rate, **{"curriculum.order.kind": order}) == 2
    assert space(rate=rate, **{"curriculum.order.kind": order}, **only_a, **of_x) == 4
