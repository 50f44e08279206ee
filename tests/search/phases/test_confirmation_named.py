"""Arms that the study names, in its confirmation: beside a search, and alone; runs are played, not trained."""

from support.study import MakeSearch
from support.theatre import FINISHED, Theatre, ablation_of, confirmation_of
from support.workplace import Workplace

from curriculum_search.runs.job import Job, Outcome, Status
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.statistics.comparison import Contrast, compare

ARMS = "study.arms={slow: {curriculum.num_clusters: 10}, mine: {density: {kind: beta, b: 2.0}}}"
ALONE = ("study.trials=0", "space=null", ARMS)


def test_without_trials_a_study_is_the_comparison_alone(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load(*ALONE))
    assert not search.pending()
    assert Theatre(search).play() == []
    confirmation = confirmation_of(search)
    jobs = Theatre(confirmation).play()
    assert 0 not in {job.experiment.seed for job in jobs}
    seeds = {name: len(values) for name, values in confirmation.values("val_loss").items()}
    assert seeds == {"no_curriculum": 4, "published": 2, "slow": 2, "mine": 2, "slow / exposure": 2}
    control = confirmation.arms["slow / exposure"]
    assert control.values["density.mass"] == [0.25, 0.75]  # of its own first run
    assert not confirmation_of(search).pending()


def test_named_arms_have_the_statistics_of_leaders(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=4", ARMS))
    Theatre(search).play()
    confirmation = confirmation_of(search)
    plan = confirmation.plan
    assert plan.leaders[:2] == ("slow", "mine")
    leader = plan.leaders[2]
    assert plan.controls == {"slow": "slow / exposure", leader: f"{leader} / exposure"}
    weights = {contrast.arm: weight for contrast, weight in plan.contrasts.items() if contrast.arm in plan.leaders[:]}
    against = [weight for contrast, weight in plan.contrasts.items() if contrast.against == plan.reference]
    assert against[:3] == [0.8 / 3] * 3
    assert set(weights) == set(plan.leaders)
    Theatre(confirmation).play()
    found = compare(confirmation.plan, confirmation.values("val_loss"))
    assert {Contrast(arm="slow", against="slow / exposure"), Contrast(arm="mine", against="no_curriculum")} <= set(
        found
    )


def test_ordinary_training_is_tried_with_a_named_arms_learning_rate(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    arms = "study.arms={slow: {curriculum.num_clusters: 10, training.learning_rate: 2e-3}}"
    search = make_search(workplace.load("study.trials=0", "space=null", arms))
    confirmation = confirmation_of(search)
    assert confirmation.plan.reference_variants == 1
    Theatre(confirmation).play()
    assert confirmation.arms["no_curriculum"].values["training.learning_rate"] == 2e-3  # the better one, as played
    assert len(confirmation.results("no_curriculum")) == 4


def test_a_control_waits_for_a_run_that_comes_to_its_end(workplace: Workplace, make_search: MakeSearch) -> None:
    def end(job: Job) -> Outcome:
        first = job.experiment.curriculum.num_clusters == 10 and job.experiment.seed == 1
        return Outcome(status=Status.FAILED, reason="OSError", trace="") if first else FINISHED

    search = make_search(workplace.load(*ALONE))
    confirmation = confirmation_of(search)
    Theatre(confirmation, end=end).play()
    assert "slow / exposure" in confirmation.arms
    none = make_search(workplace.load(*ALONE, "study.name=none"))
    without = confirmation_of(none)
    failing = Outcome(status=Status.FAILED, reason="OSError", trace="")
    Theatre(without, end=lambda job: failing if job.experiment.curriculum.num_clusters == 10 else FINISHED).play()
    assert "slow / exposure" not in without.arms
    assert len(without.results("mine")) == 2


def test_a_searched_config_that_is_a_named_arm_takes_no_place(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=4"))
    Theatre(search).play()
    (best,) = confirmation_of(search).leaders
    values = ", ".join(f"{path}: {value}" for path, value in best.arm.values.items())
    file = workplace.load("study.trials=4", f"study.arms={{same: {{{values}}}}}")
    confirmation = ConfirmationPhase(file, search.store, search.ledger, search.finished(), [])
    assert best.arm.name not in confirmation.plan.leaders
    assert confirmation.plan.leaders[0] == "same"


def test_another_arm_brings_another_verdict(workplace: Workplace, make_search: MakeSearch) -> None:
    first = confirmation_of(make_search(workplace.load(*ALONE)))
    Theatre(first).play()
    more = workplace.load(*ALONE, "study.arms.third={curriculum.num_clusters: 4}")
    second = confirmation_of(make_search(more))
    assert (first.number, second.number) == (1, 2)
    # The control is trained already, for the exposure that is played is the same for all.
    assert {job.experiment.curriculum.num_clusters for job in Theatre(second).play()} == {4}
    assert len(second.results("third / exposure")) == 2


def test_named_arms_keep_to_the_images(workplace: Workplace, make_search: MakeSearch) -> None:
    images = (2 + 2 + 2 + 2 + 4 + 5) * 320  # another seed of arms, control and reference takes five runs
    overrides = (*ALONE, "study.confirmation={min_seeds: 2, max_seeds: 40}", f"study.max_images={images}")
    confirmation = confirmation_of(make_search(workplace.load(*overrides)))
    assert confirmation.plan.max_seeds == 3
    assert confirmation.remarks() == ["The study's budget was enough for 3 of 40 seeds."]


def test_a_named_arm_that_wins_has_a_path_to_it(workplace: Workplace, make_search: MakeSearch) -> None:
    confirmation = confirmation_of(make_search(workplace.load(*ALONE, "study.ablation_seeds=2")))
    Theatre(confirmation).play()
    ablation = ablation_of(confirmation)
    changes = [", ".join(step.changes) for step in ablation.steps]
    assert changes[0] == "ordinary training at the settings of base"
    assert changes[-1] in ("curriculum.num_clusters = 10", "exposure only")
