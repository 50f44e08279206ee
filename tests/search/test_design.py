"""How large a study is."""

from collections.abc import Callable

from support.spending import BASELINES, RESERVE, RUN
from support.workplace import Workplace

from curriculum_search.search.design import Design, most_steps
from curriculum_search.search.space import Categorical, Float, Int, Space


def test_the_least_is_the_sum_of_its_parts(workplace: Workplace) -> None:
    assert Design.of(workplace.load()).least_images == (BASELINES + 1 + RESERVE) * RUN
    with_ablation = workplace.load("study.ablation_seeds=3", "study.seeds_per_trial=2")
    assert Design.of(with_ablation).least_images == (2 * BASELINES + 2 + RESERVE + 3 * 3) * RUN


def test_the_steps_of_an_ablation_are_those_of_the_longest_configuration() -> None:
    rate = Float(low=1.0, high=2.0)
    order = Categorical(choices=("none", "a", "b"))
    only_a = {"x": Int(low=1, high=3, when={"curriculum.order.kind": "a"})}
    of_x = {"y": Float(low=0, high=1, when={"x": [2, 3]}), "z": Float(low=0, high=1, when={"x": 1})}
    space: Callable[..., int] = lambda **parameters: most_steps(Space(parameters=parameters))  # noqa: E731
    assert space(rate=rate) == 2
    assert space(rate=rate, **{"curriculum.order.kind": order}) == 2
    assert space(rate=rate, **{"curriculum.order.kind": order}, **only_a, **of_x) == 4


def test_the_design_of_a_study_is_counted_from_its_file(workplace: Workplace) -> None:
    design = Design.of(workplace.load("study.confirmation={leaders: 2, min_seeds: 2, max_seeds: 5}"))
    assert (design.baselines, design.per_trial, design.trials, design.proxy) == (BASELINES, 1, 3, False)
    assert design.plan is not None
    assert design.plan.leaders == ("leader 1", "leader 2")
    assert design.plan.first_seed == 1  # the search has seed 0
    # Two leaders with their controls, the published setting, two other settings of ordinary training, and itself twice.
    assert design.confirmation == (2 + 2 + 1 + 2 + 2) * 2
    assert design.whole_confirmation == design.confirmation + (2 + 2 + 2) * 3
    assert design.reserve == design.confirmation
    assert design.gpus("full") == 0.0


def test_a_proxy_makes_the_search_small(workplace: Workplace) -> None:
    resources = "base.resources={workers: 2, gpus_per_worker: 0.5}"
    design = Design.of(workplace.load("study.proxy={training.total_images: 160, resources.workers: 1}", resources))
    assert (design.images("small"), design.images("full")) == (160, RUN)
    assert (design.gpus("small"), design.gpus("full")) == (0.5, 1.0)
    assert design.least_images == (BASELINES + 1) * 160 + RESERVE * RUN


def test_without_leaders_nothing_follows_the_search(workplace: Workplace) -> None:
    design = Design.of(workplace.load("study.confirmation.leaders=0"))
    assert (design.plan, design.confirmation, design.whole_confirmation, design.ablation) == (None, 0, 0, 0)
    assert design.least_parts == "2 baseline runs and one trial"
    assert list(design.sure_runs(workplace.load("study.confirmation.leaders=0"))) == []


def test_the_runs_that_are_sure_to_be_confirmed_are_those_of_the_other_baselines(workplace: Workplace) -> None:
    file = workplace.load()
    runs = list(Design.of(file).sure_runs(file))
    assert [(run.arm.name, run.experiment.seed) for run in runs] == [("published", 1), ("published", 2)]


def test_where_only_the_curriculum_is_searched_ordinary_training_has_no_other_settings(workplace: Workplace) -> None:
    design = Design.of(workplace.load("space.training.learning_rate=null"))
    assert design.plan is not None
    assert design.plan.reference_variants == 0
