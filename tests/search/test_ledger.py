"""What a study has cost over all its commands, and what that leaves; runs are told, not trained."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import Clock
from support.spending import (
    BASELINES,
    RESERVE,
    RUN,
    baselines,
    begin,
    end,
    play,
    record,
    report,
    run_of,
    timed,
    trial_of,
    trials_left,
)
from support.study import MakeStore
from support.workplace import Workplace

from curriculum_search.runs.job import Status
from curriculum_search.search.budget import Account, Limits
from curriculum_search.search.design import Design
from curriculum_search.search.ledger import Ledger
from curriculum_search.search.study import StudyFile


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(workplace: Workplace) -> Path:
    path: Path = workplace.results / "tiny"
    (path / "runs").mkdir(parents=True)
    return path


@pytest.fixture
def open_ledger(make_store: MakeStore, folder: Path, clock: Clock) -> Callable[[StudyFile], Ledger]:
    """The ledger of a study as a command that has just been started finds it."""
    return lambda file: Ledger(file, make_store(file, clock))


Open = Callable[[StudyFile], Ledger]


def test_without_limits_there_is_always_room(workplace: Workplace, folder: Path, open_ledger: Open) -> None:
    file = workplace.load()
    record(folder, run_of(file), images=RUN)
    ledger = open_ledger(file)
    assert not ledger.limits.any
    assert trials_left(ledger, baselines(file), 7) == 7
    assert ledger.budget.runs_left() is None
    assert not ledger.may_grow


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


# The account that a budget is made from.


def test_a_budget_is_what_stands_in_the_books_when_it_is_asked_for(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load("study.max_hours=1", "base.resources.gpus_per_worker=0.5")
    ledger = timed(open_ledger(file), concurrency=2, run_seconds=100)
    first = ledger.budget
    assert (first.design, first.limits) == (Design.of(file), Limits(max_hours=1))
    assert first.account == Account(
        images=0,
        seconds=0.0,
        gpu_seconds=0.0,
        shares=[],
        begun_images=0,
        confirmed=0,
        concurrency={"small": 2, "full": 2},
        run_seconds={"small": 100, "full": 100},
        start_up=0.0,
        started=False,
        closed=frozenset(),
        pristine=True,
    )
    before = replace(first.account)
    with ledger.at_work():
        begin(ledger, baselines(file)[0])
        clock.now += 40
        report(ledger, baselines(file)[0], 80)
        now = ledger.budget.account
        assert (now.images, now.seconds, now.gpu_seconds, now.shares) == (80, 40.0, 20.0, [0.25])
        assert (now.begun_images, now.started, now.pristine) == (RUN - 80, True, False)
    after = ledger.budget.account
    assert (after.seconds, after.gpu_seconds, after.shares, after.begun_images) == (40.0, 20.0, [], 0)
    assert not after.started  # the next phase has to be started up again
    assert first.account == before  # a budget that was made does not change


def test_confirmed_runs_are_counted_where_an_earlier_command_has_ended_them(
    workplace: Workplace, folder: Path, open_ledger: Open
) -> None:
    file = workplace.load("study.max_hours=1")
    for seed, status in ((1, Status.FINISHED), (2, Status.FAILED)):
        record(folder, run_of(file, seed, small=False, order="published"), images=RUN, status=status)
    record(folder, run_of(file, 1, small=False), images=RUN)  # it may turn out to be trained with other settings
    assert open_ledger(file).budget.account.confirmed == 1


def test_the_ledger_writes_only_while_a_command_is_at_work(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    file = workplace.load("study.max_hours=1")
    ledger = timed(open_ledger(file), concurrency=2, run_seconds=100)
    assert ledger.budget.account.seconds == 0
    clock.now += 1000
    assert not (folder / "spent.json").exists()
    with ledger.at_work():
        clock.now += 7
    spent = json.loads((folder / "spent.json").read_text())
    assert (spent["seconds"], spent["concurrency"]) == (7, {"full": 2})
    again = open_ledger(file)
    assert (again.concurrency("small"), again.run_seconds("full")) == (2, 100)
    assert [path.name for path in folder.glob("spent*")] == ["spent.json"]


def test_what_was_measured_holds_for_the_resources_that_it_was_measured_with(
    workplace: Workplace, folder: Path, open_ledger: Open
) -> None:
    file = workplace.load("study.max_hours=1")
    with timed(open_ledger(file), concurrency=2, run_seconds=100).at_work():
        pass
    assert open_ledger(file).run_seconds("full") == 100
    started = open_ledger(file)
    for start_up in (7.0, 3.0):
        started.expect("full", 100, start_up=start_up)
        assert started.budget.account.start_up == 7
    more = open_ledger(workplace.load("study.max_hours=1", "base.resources.cpus_per_worker=2"))
    assert more.run_seconds("full") is None
    busier = open_ledger(file)
    busier.set_concurrency("full", 4)
    assert busier.run_seconds("full") is None


def test_what_a_ledger_without_limits_is_told_is_kept_for_limits_to_come(
    workplace: Workplace, folder: Path, open_ledger: Open, clock: Clock
) -> None:
    ledger = open_ledger(workplace.load())
    with ledger.at_work():
        play(ledger, clock, baselines(ledger.file)[0], seconds=50)
        ledger.close("search")  # which nothing but time does
    later = open_ledger(workplace.load("study.max_hours=1"))
    assert (later.seconds, later.run_seconds("full")) == (50, 50)
    assert later.budget.account.closed == frozenset()
