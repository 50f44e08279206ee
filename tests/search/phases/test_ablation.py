"""The path from ordinary training to the winner: its configs, whose runs they share, and what they say."""

import itertools
import re
import statistics
from collections.abc import Callable
from typing import Protocol

import pytest
from support.study import MakeSearch
from support.theatre import FINISHED, Theatre, ablation_of, confirmation_of, finishes
from support.workplace import Workplace

from curriculum_search.diffusion import Uniform
from curriculum_search.runs.job import Exhausted, Job, Outcome, Status
from curriculum_search.search.arms import Arm, baseline, exposure_control, is_ordinary
from curriculum_search.search.phases.ablation import EXPOSURE, AblationPhase, path_to
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.study import StudyFile

EXPOSED = {"edges": [0.0, 0.5, 1.0], "mass": [0.25, 0.75]}
RICH = (
    "space.curriculum.pacing.kind={kind: categorical, choices: [linear, plateau], when: {curriculum.order.kind: "
    "easy_to_hard}}",
    "space.curriculum.pacing.patience_share={kind: float, low: 0.01, high: 0.1, when: {curriculum.pacing.kind: "
    "plateau}}",
    "space.weighting.kind={kind: categorical, choices: [none, min_snr]}",
    "space.weighting.gamma={kind: float, low: 1.0, high: 9.0, when: {weighting.kind: min_snr}}",
)
WINNER = Arm(
    name="trial 7",
    role="searched",
    values={
        "curriculum.pacing.patience_share": 0.05,
        "curriculum.pacing.kind": "plateau",
        "weighting.gamma": 3.0,
        "weighting.kind": "min_snr",
        "curriculum.num_clusters": 3,
        "curriculum.order.kind": "easy_to_hard",
        "training.learning_rate": 0.002,
    },
)


def path(file: StudyFile, winner: Arm, *, with_control: bool = True) -> list[tuple[str, ...]]:
    """The changes of each step, after what holds of every path has been checked."""
    control = exposure_control(winner, EXPOSED) if with_control else None
    steps = path_to(winner, control, file, 5)
    for step in steps:
        assert step.run.experiment == file.experiment(step.run.arm, 5)  # a valid config, at the base's size
        step.run.experiment.check()
    identities = [step.run.key for step in steps]
    assert len(set(identities)) == len(identities)
    assert steps[-1].run.arm == winner
    start = steps[0].run.experiment
    assert start.identity() == file.experiment(baseline("no_curriculum", file.base), 5).identity()
    return [step.changes for step in steps[1:]]


def test_one_change_at_a_time_first_the_training_then_the_exposure_then_the_curriculum(workplace: Workplace) -> None:
    assert path(workplace.load(*RICH), WINNER) == [
        ("training.learning_rate = 0.002",),
        ("weighting.kind = min_snr",),
        ("weighting.gamma = 3",),
        (EXPOSURE,),
        ("curriculum.order.kind = easy_to_hard",),
        ("curriculum.num_clusters = 3",),
        ("curriculum.pacing.kind = plateau",),
        ("curriculum.pacing.patience_share = 0.05",),
    ]


def test_each_step_has_the_settings_of_base_where_nothing_has_been_changed_yet(workplace: Workplace) -> None:
    file = workplace.load(*RICH, "base.curriculum.num_clusters=6", "base.curriculum.pacing={kind: root}")
    steps = {step.changes[-1]: step.run.experiment for step in path_to(WINNER, None, file, 5)}
    switched_on = steps["curriculum.order.kind = easy_to_hard"]
    assert (switched_on.curriculum.num_clusters, switched_on.curriculum.pacing.to_dict()["kind"]) == (6, "root")
    assert switched_on.training.learning_rate == 0.002
    assert steps["weighting.kind = min_snr"].weighting.to_dict()["gamma"] == 5.0  # the kind's own default


def test_what_the_winner_shares_with_base_is_no_step(workplace: Workplace) -> None:
    file = workplace.load(*RICH, "base.training.learning_rate=2e-3", "base.curriculum.num_clusters=3")
    changes = [change for step in path(file, WINNER) for change in step]
    assert not [change for change in changes if "learning_rate" in change or "num_clusters" in change]
    assert len(changes) == 6


def test_a_change_that_makes_no_config_by_itself_comes_with_the_next(workplace: Workplace) -> None:
    file = workplace.load(
        "space.density.kind={kind: categorical, choices: [uniform, histogram]}",
        "space.density.edges={kind: categorical, choices: [[0, 0.3, 1]], when: {density.kind: histogram}}",
        "space.density.mass={kind: categorical, choices: [[0.5, 0.5]], when: {density.kind: histogram}}",
        "base.curriculum.num_clusters=1",
    )
    values = {
        "density.kind": "histogram",
        "density.edges": [0, 0.3, 1],
        "density.mass": [0.5, 0.5],
        "training.learning_rate": 0.002,
        "curriculum.order.kind": "easy_to_hard",
        "curriculum.num_clusters": 4,
    }
    assert path(file, Arm(name="trial 1", role="searched", values=values)) == [
        ("training.learning_rate = 0.002",),
        ("density.kind = histogram", "density.edges = [0, 0.3, 1]", "density.mass = [0.5, 0.5]"),
        (EXPOSURE,),
        # One cluster is no curriculum, whatever its order.
        ("curriculum.order.kind = easy_to_hard", "curriculum.num_clusters = 4"),
    ]


def test_a_change_without_effect_is_told_with_the_one_that_gives_it_an_effect(workplace: Workplace) -> None:
    file = workplace.load(
        "base.curriculum.accumulation={kind: newest}",
        "space.curriculum.union_density={kind: categorical, choices: [base, equal]}",
        "space.curriculum.accumulation.kind={kind: categorical, choices: [newest, cumulative]}",
    )
    values = {
        "curriculum.order.kind": "easy_to_hard",
        "curriculum.union_density": "equal",
        "curriculum.accumulation.kind": "cumulative",
        "curriculum.num_clusters": 20,
    }
    assert path(file, Arm(name="trial 1", role="searched", values=values), with_control=False) == [
        ("curriculum.order.kind = easy_to_hard",),
        ("curriculum.union_density = equal", "curriculum.accumulation.kind = cumulative"),
    ]


def test_a_curriculum_of_base_itself_is_switched_on(workplace: Workplace) -> None:
    file = workplace.load(
        "space.curriculum.order.kind=null",
        "space.curriculum.num_clusters={kind: int, low: 2, high: 4}",
        "base.curriculum.order={kind: hard_to_easy}",
        "study.equal_tries=false",
    )
    values = {"training.learning_rate": 0.002, "curriculum.num_clusters": 4}
    assert path(file, Arm(name="trial 1", role="searched", values=values)) == [
        ("training.learning_rate = 0.002",),
        (EXPOSURE,),
        ("curriculum.order.kind = hard_to_easy",),
        ("curriculum.num_clusters = 4",),
    ]


def test_the_path_to_a_control_ends_with_the_exposure_and_that_to_a_baseline_has_none(workplace: Workplace) -> None:
    file = workplace.load(*RICH)
    control = exposure_control(WINNER, EXPOSED)
    assert path(file, control, with_control=False)[-1] == (EXPOSURE,)
    published = path(file, baseline("published", file.base), with_control=False)
    assert published[0] == ("curriculum.order.kind = easy_to_hard",)
    assert ("curriculum.pacing.kind = plateau",) in published


OVERRIDES = ("study.trials=6", "study.ablation_seeds=2", "study.confirmation.max_seeds=3")


class Confirm(Protocol):
    """Searches and confirms, and gives the confirmation as a command that has just been started finds it."""

    def __call__(self, *overrides: str, end: Callable[[Job], Outcome] = finishes) -> ConfirmationPhase: ...


@pytest.fixture
def confirmed(workplace: Workplace, make_search: MakeSearch, capsys: pytest.CaptureFixture[str]) -> Confirm:
    def confirm(*overrides: str, end: Callable[[Job], Outcome] = finishes) -> ConfirmationPhase:
        search = make_search(workplace.load(*OVERRIDES, *overrides))
        Theatre(search).play()
        Theatre(confirmation_of(search), end=end).play()
        return confirmation_of(search)

    return confirm


def _ablation(confirmation: ConfirmationPhase, runs_left: int | None = None) -> AblationPhase:
    """The ablation as a command that has just been started finds it, with so many runs in the budget."""
    with pytest.MonkeyPatch.context() as patch:
        if runs_left is not None:
            patch.setattr(AblationPhase, "_runs_left", lambda self: runs_left)
        return ablation_of(confirmation)


def test_steps_are_trained_on_the_seeds_of_the_confirmation_and_what_that_has_trained_is_not(
    confirmed: Confirm,
) -> None:
    confirmation = confirmed()
    known = {folder.name for folder in (confirmation.store.root / "runs").iterdir()}
    ablation = _ablation(confirmation)
    assert ablation.pending()
    (leader,) = confirmation.plan.leaders
    assert [step.changes[-1].split(" = ")[0] for step in ablation.steps] == [
        "ordinary training at the settings of base",
        "training.learning_rate",
        EXPOSURE,
        "curriculum.order.kind",
        "curriculum.num_clusters",
    ]
    assert ablation.steps[-1].run.arm.name == leader
    jobs = Theatre(ablation).play()
    # The leader's settings without a curriculum, the exposure and the winner are in the confirmation.
    assert [job.key for job in jobs[::2]] == [ablation.steps[i].run.key for i in (0, 3)]
    assert len(jobs) == 2 * 2
    assert {job.experiment.seed for job in jobs} == {1, 2}
    assert not {job.key for job in jobs} & known
    assert not _ablation(confirmation).pending()
    assert _ablation(confirmation).next() is Exhausted.DONE


def test_arms_of_the_confirmation_keep_its_runs_and_get_no_more(confirmed: Confirm) -> None:
    ablation = _ablation(confirmed("study.ablation_seeds=5"))
    Theatre(ablation).play()
    assert [len(result.values) for result in ablation.path()] == [5, 5, 2, 5, 2]


def test_each_step_is_compared_with_the_one_before_it(confirmed: Confirm) -> None:
    confirmation = confirmed()
    ablation = _ablation(confirmation)
    Theatre(ablation).play()
    results = ablation.path()
    values = confirmation.values("val_loss")
    (leader,) = confirmation.plan.leaders
    control = confirmation.plan.controls[leader]
    assert results[2].values == tuple(values[control].values())
    assert results[-1].values == tuple(values[leader].values())
    assert [len(result.values) for result in results[:2]] == [2, 2]
    assert results[0].difference is None
    for before, after in itertools.pairwise(results):
        assert after.difference == pytest.approx(statistics.fmean(after.values) - statistics.fmean(before.values))
        squares = [statistics.variance(part.values) / len(part.values) for part in (before, after)]
        assert after.error == pytest.approx(sum(squares) ** 0.5)
    whole = ablation.whole()
    assert whole is not None
    assert whole.difference == pytest.approx(sum(result.difference for result in results[1:] if result.difference))
    assert whole.difference is not None
    # As the landscape has it: a tenth by the order, the rest by the learning rate.
    assert results[3].difference == pytest.approx(-0.1, abs=0.002)
    assert results[1].difference == pytest.approx(whole.difference + 0.1, abs=0.003)


def test_an_interrupted_ablation_trains_only_what_is_missing_and_what_an_error_ended(confirmed: Confirm) -> None:
    confirmation = confirmed()
    failing = Outcome(status=Status.FAILED, reason="OSError: disk full", trace="line 1")
    ends = iter([FINISHED, failing, Outcome(status=Status.DIVERGED, reason="nan")])
    first = Theatre(_ablation(confirmation), end=lambda job: next(ends)).play(limit=3)[:2]  # one is under way
    again = Theatre(_ablation(confirmation), end=lambda job: Outcome(status=Status.DIVERGED)).play()
    assert first[0].key not in {job.key for job in again}
    assert first[1].key in {job.key for job in again}
    assert len({job.key for job in [*first, *again]}) == 4
    results = _ablation(confirmation).path()
    assert (results[0].lost, len(results[0].values), results[0].sd) == (1, 1, None)
    assert (results[3].lost, results[3].mean, results[3].difference) == (2, None, None)
    assert (results[1].lost, results[1].error) == (0, None)


def test_a_small_budget_leaves_steps_out_and_their_changes_come_with_the_next(confirmed: Confirm) -> None:
    confirmation = confirmed()
    ablation = _ablation(confirmation, runs_left=3)
    assert ablation.remark.startswith("1 of 5 steps are left out")
    assert [step.changes for step in ablation.steps][-1] == tuple(
        change for step in _ablation(confirmation).steps[-2:] for change in step.changes
    )
    assert len(Theatre(ablation).play()) == 2
    later = _ablation(confirmation, runs_left=1)  # as the command that goes on finds it
    assert not later.pending()
    assert [step.changes for step in later.steps] == [step.changes for step in ablation.steps]
    assert _ablation(confirmation).remark == ""


def test_without_any_run_left_there_is_no_path(confirmed: Confirm) -> None:
    ablation = _ablation(confirmed(), runs_left=1)
    assert not ablation.pending()
    assert (ablation.steps, ablation.path(), ablation.whole()) == ([], [], None)
    assert ablation.remark == "No path: the budget has no runs left for it."


def test_where_ordinary_training_came_out_ahead_there_is_no_path(confirmed: Confirm) -> None:
    diverged = Outcome(status=Status.DIVERGED, reason="nan")

    def only_ordinary_training_works(job: Job) -> Outcome:
        plain = is_ordinary(job.experiment) and job.experiment.density == Uniform()
        return FINISHED if plain else diverged

    ablation = _ablation(confirmed(end=only_ordinary_training_works))
    assert re.fullmatch(r"No path: trial \d did not come out ahead of no_curriculum.", ablation.remark)
    assert (ablation.steps, ablation.pending()) == ([], False)


def test_nothing_is_trained_where_nothing_is_asked_for(confirmed: Confirm) -> None:
    ablation = _ablation(confirmed("study.ablation_seeds=0"))
    assert not ablation.pending()
    assert (ablation.steps, ablation.remark) == ([], "")


def test_the_path_is_trained_at_the_targets_size(confirmed: Confirm) -> None:
    confirmation = confirmed("study.proxy={training.batch_size: 32}")
    jobs = Theatre(_ablation(confirmation)).play()
    assert jobs
    assert {job.experiment.training.batch_size for job in jobs} == {16}
