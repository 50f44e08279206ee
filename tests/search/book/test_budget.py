"""What a study may cost and what it has cost; runs are told, not trained."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.search.arms import baseline
from curriculum_search.search.book.budget import Budget
from curriculum_search.search.book.runs import ADOPTED, RunResult
from curriculum_search.search.book.scale import Scale, check_limits, most_steps, recorded_runs
from curriculum_search.search.confirm import ConfirmationPhase
from curriculum_search.search.execution.jobs import Job, Outcome, Status
from curriculum_search.search.sampling.space import Categorical, Float, Int, Space
from curriculum_search.search.study import StudyFile

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
def folder(workplace: Any) -> Path:
    path: Path = workplace.results / "tiny"
    (path / "runs").mkdir(parents=True)
    return path


def experiment(file: StudyFile, seed: int = 0, *, small: bool = True, order: str = "no_curriculum") -> Experiment:
    return file.experiment(baseline(order, file.small if small else file.base), seed, small=small)  # type: ignore[arg-type]


def baselines(file: StudyFile) -> list[Experiment]:
    return [file.experiment(arm, 0, small=True) for arm in file.baselines(small=True)]


def job(of: Experiment, folder: Path) -> Job:
    return Job(
        key=of.identity(),
        experiment=of.to_dict(),
        run_dir=folder / "runs" / of.identity(),
        cache_dir=folder,
        plugins={},
        working_dir=folder,
    )


def record(
    folder: Path, of: Experiment, *, images: int, status: Status | None = Status.FINISHED, seconds: float = 0.0
) -> None:
    """Leave a run's folder as an earlier command would have."""
    run_dir = folder / "runs" / of.identity()
    run_dir.mkdir()
    (run_dir / "experiment.json").write_text(json.dumps(of.to_dict()))
    (run_dir / "log.jsonl").write_text(json.dumps({"kind": "report", "images": images, "metrics": {}}) + "\n")
    if status is not None:
        RunResult(status=status, metrics={}, images=images, seconds=seconds).save(run_dir)


def play(budget: Budget, clock: Clock, of: Experiment, folder: Path, *, seconds: float, images: int = RUN) -> None:
    """Have a run begin and end."""
    run = job(of, folder)
    budget.began(run)
    clock.now += seconds
    budget.reported(run, images)
    budget.ended(run, Status.FINISHED if images == RUN else Status.STOPPED)


def test_without_limits_there_is_always_room(workplace: Any, folder: Path) -> None:
    file = workplace.load()
    record(folder, experiment(file), images=RUN)
    budget = Budget(file, folder)
    assert not budget.limited
    assert budget.trials_left(baselines(file), 7) == 7
    assert budget.runs_left() is None
    assert not budget.may_grow


@pytest.mark.parametrize(("spare", "trials"), [(0, 1), (RUN - 1, 1), (RUN, 2), (10 * RUN, 3)])
def test_trials_get_what_the_baselines_and_the_confirmation_leave(
    workplace: Any, folder: Path, spare: int, trials: int
) -> None:
    file = workplace.load(f"study.max_images={(BASELINES + 1 + RESERVE) * RUN + spare}")
    assert Scale.of(file).reserve == RESERVE
    assert Budget(file, folder).trials_left(baselines(file), 3) == trials


def test_what_is_under_way_is_counted_to_its_end_and_what_was_stopped_as_far_as_it_came(
    workplace: Any, folder: Path, clock: Clock
) -> None:
    file = workplace.load(f"study.max_images={(BASELINES + 2 + RESERVE) * RUN}")
    budget = Budget(file, folder, clock=clock)
    for of in baselines(file):
        play(budget, clock, of, folder, seconds=1)
    trial = job(file.trial_experiment({"training.learning_rate": 1e-3, "curriculum.order.kind": "none"}), folder)
    assert budget.trials_left([], 3) == 2
    budget.began(trial)
    budget.reported(trial, 80)
    assert budget.images == BASELINES * RUN + 80
    assert budget.trials_left([], 3) == 1
    assert budget.may_grow
    budget.ended(trial, Status.STOPPED)
    assert not budget.may_grow
    assert budget.trials_left([], 3) == 1  # what it has left over is less than a trial
    assert budget.images == BASELINES * RUN + 80


def test_a_trial_needs_room_for_all_its_seeds(workplace: Any, folder: Path) -> None:
    images = (2 * BASELINES + 3 + RESERVE) * RUN
    file = workplace.load("study.seeds_per_trial=2", f"study.max_images={images}")
    waiting = [file.experiment(arm, seed, small=True) for arm in file.baselines(small=True) for seed in (0, 1)]
    assert Budget(file, folder).trials_left(waiting, 3) == 1


def test_every_run_that_an_earlier_command_left_is_counted(workplace: Any, folder: Path) -> None:
    file = workplace.load(f"study.max_images={(BASELINES + 3 + RESERVE) * RUN}", "study.trials=9")
    left = [2e-3, 3e-3, 4e-3]
    trials = [file.trial_experiment({"training.learning_rate": r, "curriculum.order.kind": "none"}) for r in left]
    for of in baselines(file):
        record(folder, of, images=RUN)
    record(folder, trials[0], images=240, status=Status.STOPPED)
    record(folder, trials[1], images=160, status=Status.FAILED)
    record(folder, trials[2], images=80, status=None)
    budget = Budget(file, folder)
    assert budget.images == BASELINES * RUN + 240 + 160 + 80
    # The one that was interrupted is gone on with: it needs the rest of its images, not all of them.
    assert budget.trials_left([trials[2]], 9) == (3 * RUN - 240 - 160 - RUN) // RUN
    assert Budget(workplace.load(f"study.max_images={RUN * 100}"), folder).trials_left([trials[2]], 9) == 9


def test_an_interrupted_study_has_room_for_as_many_trials_as_before(workplace: Any, folder: Path) -> None:
    """Nothing is counted twice: neither the part of a run that was trained, nor a run that failed and is repeated."""
    file = workplace.load(f"study.max_images={(BASELINES + 3 + RESERVE) * RUN}")
    first, second = baselines(file)
    record(folder, first, images=240, status=None)
    record(folder, second, images=80, status=Status.FAILED)
    budget = Budget(file, folder)
    assert budget.trials_left([first, second], 9) == 3
    budget.began(job(first, folder))
    assert budget.trials_left([second], 9) == 3
    budget.began(job(second, folder))
    assert budget.trials_left([], 9) == 3


def test_the_config_of_a_run_may_be_half_written(workplace: Any, folder: Path) -> None:
    file = workplace.load("study.max_images=100000")
    record(folder, experiment(file), images=160, status=None)
    (folder / "runs" / experiment(file).identity() / "experiment.json").write_text('{"data": {"ki')
    assert Budget(file, folder).images == 160


def test_the_confirmation_gets_what_is_left(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load(f"study.max_images={20 * RUN + 100}")
    budget = Budget(file, folder, clock=clock)
    for of in baselines(file):
        play(budget, clock, of, folder, seconds=1)
    assert budget.runs_left() == 18
    run = experiment(file, 1, small=False)
    budget.began(job(run, folder))
    budget.reported(job(run, folder), 160)
    with budget.at_work():
        pass  # interrupted
    record(folder, run, images=160, status=None)
    for of in baselines(file):
        record(folder, of, images=RUN)
    resumed = Budget(file, folder, clock=clock)
    assert resumed.interrupted == {run.identity()}
    assert resumed.runs_left() == 17
    assert resumed.runs_left([run.identity()]) == 18


def test_the_ablation_is_kept_out_of_the_confirmation(workplace: Any, folder: Path) -> None:
    file = workplace.load("study.max_images=100000", "study.ablation_seeds=2")
    assert Scale.of(file).ablation == 2 * 3
    budget = Budget(file, folder)
    assert budget.runs_left() == 100000 // RUN - 6
    assert budget.runs_left(ablation=True) == 100000 // RUN


def test_what_is_confirmed_already_is_not_reserved_again(workplace: Any, folder: Path) -> None:
    """With a budget that was raised by two trials and what a new leader needs, two more trials are run."""
    spent = (BASELINES + 1 + RESERVE) * RUN
    leader_control_reference = 2 + 2 + 4
    file = workplace.load(f"study.max_images={spent + (2 + leader_control_reference) * RUN}", "study.trials=9")
    for of in baselines(file):
        record(folder, of, images=RUN)
    record(folder, file.trial_experiment({"training.learning_rate": 2e-3, "curriculum.order.kind": "none"}), images=RUN)
    for seed in (1, 2):
        record(folder, experiment(file, seed, small=False, order="published"), images=RUN)
    for seed in range(3, 11):  # standing for the other arms
        record(folder, experiment(file, seed, small=False), images=RUN)
    assert Budget(file, folder).trials_left([], 8) == 2


def test_with_a_proxy_the_search_is_small_and_the_reserve_is_not(workplace: Any, folder: Path) -> None:
    images = BASELINES * 160 + RESERVE * RUN + 3 * 160
    file = workplace.load(f"study.max_images={images}", "study.proxy={training.total_images: 160}", "study.trials=9")
    assert Budget(file, folder).trials_left(baselines(file), 9) == 3


# Time.


def timed(file: StudyFile, folder: Path, clock: Clock, *, rooms: int, run_seconds: float) -> Budget:
    budget = Budget(file, folder, clock=clock)
    for size in ("small", "full"):
        budget.place(size, rooms)  # type: ignore[arg-type]
        budget.expect(size, run_seconds)  # type: ignore[arg-type]
    return budget


@pytest.mark.parametrize(
    ("rooms", "runs_of_time", "trials"),
    [
        (1, BASELINES + RESERVE, 0),
        (1, BASELINES + RESERVE + 2, 2),
        (4, 1 + 3, 2),  # the two baselines and two trials at once, then ten runs in three rounds
        (4, 2 + 3, 6),
        (4, 1 + 2, 0),
    ],
)
def test_hours_are_laid_out_over_the_rooms(
    workplace: Any, folder: Path, clock: Clock, rooms: int, runs_of_time: int, trials: int
) -> None:
    hours = 1.11 * runs_of_time * 100 / 3600  # a tenth more than expected, against underestimates
    file = workplace.load(f"study.max_hours={hours}", "study.trials=9")
    budget = timed(file, folder, clock, rooms=rooms, run_seconds=100)
    assert budget.trials_left(baselines(file), 9) == trials


def test_runs_that_have_ended_say_how_long_a_run_lasts(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load("study.max_hours=1")
    budget = timed(file, folder, clock, rooms=1, run_seconds=100)
    with budget.at_work():
        play(budget, clock, baselines(file)[0], folder, seconds=30)
        play(budget, clock, baselines(file)[1], folder, seconds=10, images=80)
    assert budget.run_seconds("small") == budget.run_seconds("full") == pytest.approx(40 / 400 * 320)
    assert Budget(file, folder, clock=clock).run_seconds("full") == pytest.approx(32)


def test_starting_a_process_is_not_taken_for_training(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load("study.max_hours=1")
    budget = timed(file, folder, clock, rooms=1, run_seconds=100)
    for of, start in zip(baselines(file), (50, 1), strict=True):  # the second finds the process there
        run = job(of, folder)
        budget.began(run)
        clock.now += start
        budget.reported(run, 80)
        clock.now += 3
        budget.reported(run, 320)
        budget.ended(run, Status.FINISHED)
        assert budget.run_seconds("full") == pytest.approx(4)


def test_time_is_kept_for_the_start_of_each_phase(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load(f"study.max_hours={1.11 * (BASELINES + RESERVE + 2) * 100 / 3600}", "study.ablation_seeds=0")
    budget = timed(file, folder, clock, rooms=1, run_seconds=100)
    assert budget.trials_left(baselines(file), 9) == 2
    budget.expect("full", 100, start_up=100)
    assert budget.trials_left(baselines(file), 9) == 1
    assert timed(workplace.load("study.max_hours=0.1"), folder, clock, rooms=1, run_seconds=100).runs_left() == 3


def test_runs_that_time_was_kept_for_are_run_even_if_it_was_too_little(
    workplace: Any, folder: Path, clock: Clock
) -> None:
    for limits, left in (("study.max_images=3200", 10), ("study.max_images=null", 12)):
        file = workplace.load("study.max_hours=1", limits)
        budget = timed(file, folder, clock, rooms=1, run_seconds=4000)
        assert budget.runs_left() == 0
        assert budget.runs_left(granted=12) == left  # images are never exceeded


def test_the_proxys_runs_say_nothing_of_the_targets(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load("study.max_hours=1", "study.proxy={training.total_images: 160}")
    budget = timed(file, folder, clock, rooms=1, run_seconds=100)
    small, full = experiment(file), experiment(file, 1, small=False)
    run = job(small, folder)
    budget.began(run)
    clock.now += 7
    budget.reported(run, 160)
    budget.ended(run, Status.FINISHED)
    assert (budget.run_seconds("small"), budget.run_seconds("full")) == (7, 100)
    play(budget, clock, full, folder, seconds=50)
    assert (budget.run_seconds("small"), budget.run_seconds("full")) == (7, 50)


def test_a_run_that_was_resumed_counts_for_the_images_that_it_saw_since(
    workplace: Any, folder: Path, clock: Clock
) -> None:
    file = workplace.load("study.max_hours=1")
    record(folder, baselines(file)[0], images=240, status=None)
    budget = Budget(file, folder, clock=clock)
    play(budget, clock, baselines(file)[0], folder, seconds=10)
    assert budget.run_seconds("full") == pytest.approx(10 / 80 * 320)


def test_time_is_kept_over_restarts(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load("study.max_hours=1", "study.max_gpu_hours=1", "base.resources.gpus_per_worker=0.5")
    budget = Budget(file, folder, clock=clock)
    clock.now += 1000  # not at work
    with budget.at_work():
        budget.began(job(baselines(file)[0], folder))
        clock.now += 100
    again = Budget(file, folder, clock=clock)
    clock.now += 1000
    assert (again.seconds, again.gpu_seconds) == (100, 50)
    with again.at_work():
        clock.now += 11
    assert Budget(file, folder, clock=clock).seconds == 111


def test_a_killed_command_loses_less_than_a_minute(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load()  # without limits as well, for there may be some later
    budget = Budget(file, folder, clock=clock)
    killed = budget.at_work()
    killed.__enter__()
    budget.began(job(baselines(file)[0], folder))
    for _ in range(1000):
        clock.now += 1
        budget.tick()
    assert 940 < Budget(file, folder, clock=clock).seconds <= 1000


def test_gpu_hours_count_workers_and_share(workplace: Any, folder: Path, clock: Clock) -> None:
    gpus = "base.resources={workers: 2, gpus_per_worker: 1}"
    runs = BASELINES + 2 + RESERVE
    file = workplace.load(gpus, f"study.max_gpu_hours={1.11 * runs * 2 * 100 / 3600}", "study.trials=9")
    budget = timed(file, folder, clock, rooms=3, run_seconds=100)
    assert budget.trials_left(baselines(file), 9) == 2
    record(folder, baselines(file)[0], images=RUN, seconds=300)
    assert Budget(file, folder, clock=clock).gpu_seconds == 600


def test_when_time_is_over_nothing_begins(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load("study.max_hours=1")
    budget = Budget(file, folder, clock=clock)
    with budget.at_work():
        clock.now += 3599
        assert budget.trials_left([], 3) == 3  # nobody knows how long a run lasts
        clock.now += 2
        assert budget.trials_left([], 3) == 0
        assert budget.runs_left() == 0


def test_the_confirmation_gets_the_rounds_that_fit(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load(f"study.max_hours={350 / 3600}")
    assert timed(file, folder, clock, rooms=4, run_seconds=100).runs_left() == 3 * 4
    assert timed(file, folder, clock, rooms=1, run_seconds=400).runs_left() == 0


def test_what_time_has_ended_stays_ended_until_there_is_more(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load("study.max_hours=1")
    budget = timed(file, folder, clock, rooms=1, run_seconds=1)
    assert budget.trials_left([], 3) == 3
    for phase in ("search", "confirmation"):
        budget.close(phase)
    again = Budget(file, folder, clock=clock)
    assert again.trials_left([], 3) == 0
    assert again.runs_left() == 0
    more = Budget(workplace.load("study.max_hours=2"), folder, clock=clock)
    assert more.trials_left([], 3) == 3
    assert more.runs_left() is not None


# What is refused.


@pytest.mark.parametrize("overrides", [(), ("study.trials=0",), ("study.confirmation.leaders=0",)])
def test_a_budget_too_small_for_a_verdict_is_refused_with_the_least_that_would_do(
    workplace: Any, overrides: tuple[str, ...]
) -> None:
    least = Scale.of(workplace.load(*overrides)).least_images
    check_limits(workplace.load(*overrides, f"study.max_images={least}"))
    with pytest.raises(UserError) as error:
        check_limits(workplace.load(*overrides, f"study.max_images={least - 1}"))
    assert f"{workplace.study}: study.max_images: {least - 1:,} is not enough for 2 baseline runs" in str(error.value)
    assert f"which need {least:,}; " in str(error.value)
    assert str(error.value).count("\n") == 0


def test_the_least_is_the_sum_of_its_parts(workplace: Any) -> None:
    assert Scale.of(workplace.load()).least_images == (BASELINES + 1 + RESERVE) * RUN
    with_ablation = workplace.load("study.ablation_seeds=3", "study.seeds_per_trial=2")
    assert Scale.of(with_ablation).least_images == (2 * BASELINES + 2 + RESERVE + 3 * 3) * RUN


def test_gpu_hours_without_gpus_are_refused(workplace: Any) -> None:
    with pytest.raises(UserError, match=r"study.max_gpu_hours: 5 limits nothing, for base.resources.gpus_per_worker"):
        check_limits(workplace.load("study.max_gpu_hours=5"))


def test_too_little_time_is_refused_when_a_run_has_been_measured(workplace: Any, folder: Path, clock: Clock) -> None:
    file = workplace.load("study.max_hours=0.25")
    timed(file, folder, clock, rooms=2, run_seconds=100).check_time()
    with pytest.raises(UserError, match=r"study.max_hours: 0.25 is not enough for .*which take about 0.46 hours "):
        timed(file, folder, clock, rooms=1, run_seconds=100).check_time()
    record(folder, baselines(file)[0], images=RUN)  # a study that has begun goes on with what it has
    timed(file, folder, clock, rooms=1, run_seconds=100).check_time()


# By the phases.

HALVING = "study.stopping={kind: successive_halving, settle_share: null}"


@pytest.mark.parametrize("stopping", ["study.stopping={kind: none}", HALVING])
def test_the_search_keeps_to_the_images_and_leaves_the_confirmation_its_own(
    workplace: Any, make_search: Any, theatre: Any, stopping: str
) -> None:
    images = (BASELINES + 6 + RESERVE) * RUN
    search = make_search(workplace.load(f"study.max_images={images}", "study.trials=40", stopping))
    jobs = theatre(search).play()
    spent = sum(result.images for _, result in search.ended_runs())
    assert images - (RESERVE + 1) * RUN < spent <= images - RESERVE * RUN
    # What stopped trials have left over is for more trials, though they end when all that there is room for has begun.
    assert (len(jobs) > BASELINES + 6) is (stopping == HALVING)
    confirmation = ConfirmationPhase(search.file, search.book, search.finished(), search.pareto())
    theatre(confirmation).play()
    assert len(confirmation.values("val_loss")) == 4
    assert all(len(seeds) >= 2 for seeds in confirmation.values("val_loss").values())
    assert sum(run.images for run in recorded_runs(search.book.root)) <= images
    assert not make_search(search.file).pending()


def test_the_confirmation_keeps_to_the_images(workplace: Any, make_search: Any, theatre: Any) -> None:
    """The seeds of an undecided study end with the budget, not with max_seeds, and are planned so."""
    overrides = "study.trials=4", "study.confirmation={min_seeds: 2, max_seeds: 40, leaders: 1}"
    images = (BASELINES + 4 + RESERVE + 7) * RUN
    search = make_search(workplace.load(*overrides, f"study.max_images={images}"))
    theatre(search).play()
    confirmation = ConfirmationPhase(search.file, search.book, search.finished(), search.pareto())
    end = iter([Outcome(status=Status.DIVERGED, reason="nan")] * 1000)  # nothing is ever decided
    theatre(confirmation, end=lambda job: next(end)).play()
    # There are 19 runs left, and another seed of the leading arms takes four.
    assert confirmation.plan.max_seeds == 3
    assert confirmation.remarks() == ["The study's budget was enough for 3 of 40 seeds."]
    assert sum(run.images for run in recorded_runs(search.book.root)) <= images
    again = ConfirmationPhase(search.file, search.book, search.finished(), search.pareto())
    assert (again.plan.max_seeds, again.pending()) == (3, False)


def test_the_search_keeps_back_what_the_leaders_may_need_up_to_half_of_the_budget(workplace: Any, folder: Path) -> None:
    """Two baselines; the least confirmation is 12 runs, and one in which the leaders have 8 seeds 12 + 6 * 4."""
    for runs, trials in ((2 + 12 + 5, 5), (40, 40 - 2 - 20), (72, 72 - 2 - 36), (100, 100 - 2 - 36)):
        overrides = "study.trials=99", "study.confirmation.max_seeds=8", f"study.max_images={runs * RUN}"
        file = workplace.load(*overrides)
        assert Scale.of(file).whole_confirmation == 36
        assert Budget(file, folder).trials_left(baselines(file), 99) == trials


def test_images_left_are_enough_for_the_runs_that_are_begun_not_for_others_that_were_interrupted(
    workplace: Any, folder: Path
) -> None:
    file = workplace.load(f"study.max_images={20 * RUN}")
    runs = [experiment(file, seed, small=False) for seed in range(1, 25)]
    record(folder, runs[0], images=240, status=None)
    budget = Budget(file, folder)
    assert budget.runs_left([runs[0].identity()]) == 20
    assert budget.fitting(runs) == 20
    assert budget.fitting(runs[1:]) == 19
    assert Budget(workplace.load(), folder).fitting(runs) == 24


def test_runs_that_another_study_has_trained_cost_nothing(workplace: Any, folder: Path) -> None:
    file = workplace.load(f"study.max_images={(BASELINES + 1 + RESERVE) * RUN}")
    record(folder, baselines(file)[0], images=RUN)
    spent = Budget(file, folder).images
    (folder / "runs" / baselines(file)[0].identity() / ADOPTED).touch()
    assert (spent, Budget(file, folder).images) == (RUN, 0)


def test_the_steps_of_an_ablation_are_those_of_the_longest_configuration() -> None:
    rate = Float(low=1.0, high=2.0)
    order = Categorical(choices=("none", "a", "b"))
    only_a = {"x": Int(low=1, high=3, when={"curriculum.order.kind": "a"})}
    of_x = {"y": Float(low=0, high=1, when={"x": [2, 3]}), "z": Float(low=0, high=1, when={"x": 1})}
    space: Callable[..., int] = lambda **parameters: most_steps(Space(parameters=parameters))  # noqa: E731
    assert space(rate=rate) == 2
    assert space(rate=rate, **{"curriculum.order.kind": order}) == 2
    assert space(rate=rate, **{"curriculum.order.kind": order}, **only_a, **of_x) == 4
