"""A study as its file has it: its settings, its runs, and what must stay as it is when it goes on."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.study import MakeSearch
from support.theatre import Theatre, ablation_of, confirmation_of
from support.workplace import Workplace

from curriculum_search.direction import Direction
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.search.arms import Arm, baseline
from curriculum_search.search.load import load_study
from curriculum_search.search.stopping import NoStopping, SuccessiveHalving
from curriculum_search.search.study import Confirmation, Study


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "study={name: a, objective: val_loss, ablation_seeds: 2, confirmation: {leaders: 0}}",
            "study: ablation_seeds must be 0 where confirmation.leaders is 0: ",
        ),
        (
            "study={name: a, objective: val_loss, proxy: {training.batch_size: 32}, confirmation: {leaders: 0}}",
            "study: confirmation.leaders must be at least 1 where there is a proxy: ",
        ),
        ("study.baselines=[published]", "study: baselines must include no_curriculum: "),
        ("study.baselines=[no_curriculum, best]", "study.baselines.1: must be "),
        ("study.proxy={model.patch_size: 3}", "study.proxy: model: patch_size must divide the resolution 8, and 3 "),
        ("study.algorithm={kind: optuna, name: BaseSampler}", "study.algorithm: name must be one of Brute"),
        ("study.seeds_per_trial=0", "study: seeds_per_trial must be at least 1, not 0"),
        ("study.max_images=-1", "study: max_images must be above 0, not -1"),
        ("study.secondary_objectives=[val_loss]", "study: secondary_objectives must differ from each other and from "),
        ("study.confirmation.min_seeds=1", "study.confirmation: min_seeds must be in [2, max_seeds = 2], not 1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(workplace: Workplace, override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        workplace.load(override)
    assert str(caught.value).startswith(f"{workplace.study}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Confirmation(leaders=-1), "leaders must be at least 0, not -1"),
        (lambda: Confirmation(min_seeds=9), r"min_seeds must be in \[2, max_seeds = 8\], not 9"),
        (lambda: Confirmation(confidence=1.0), r"confidence must be in \[0.5, 1\), not 1.0"),
    ],
)
def test_a_confirmation_that_proves_nothing_is_refused(make: Callable[[], Confirmation], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_trials_are_stopped_early_unless_they_are_weighed_by_several_objectives() -> None:
    one = Study(name="a", objective="fd")
    assert isinstance(one.rule, SuccessiveHalving)
    assert isinstance(replace(one, secondary_objectives=("kid",)).rule, NoStopping)
    assert replace(one, stopping=NoStopping()).rule == NoStopping()


def test_a_run_is_an_arm_with_a_seed_at_a_size(workplace: Workplace) -> None:
    file = workplace.load("study.proxy={model.hidden_size: 8}", "study.seed=3", "study.seeds_per_trial=2")
    arm = Arm(name="mine", role="searched", values={"training.learning_rate": 2e-3})
    for small, size in ((True, file.small), (False, file.base)):
        run = file.run(arm, 5, small=small)
        expected = replace(size, seed=5, training=replace(size.training, learning_rate=2e-3))
        assert run.experiment == expected
        assert run.key == expected.identity()
    assert file.search_seeds == range(3, 5)
    trial = file.trial({"training.learning_rate": 2e-3})
    assert (trial.experiment.seed, trial.key) == (3, file.run(arm, 3, small=True).key)


def test_values_that_make_no_experiment_are_told_with_the_arm(workplace: Workplace) -> None:
    with pytest.raises(UserError, match=r"study\.yaml: mine: training: batch_size must be at least 1, not 0"):
        workplace.load().run(Arm(name="mine", role="searched", values={"training.batch_size": 0}), 0)


def test_a_study_weighs_each_objective_in_its_own_direction(workplace: Workplace) -> None:
    file = workplace.load("study.secondary_objectives=[images_to_baseline]")
    assert file.objectives == ("val_loss", "images_to_baseline")
    assert file.directions == (Direction.MINIMIZE, Direction.MINIMIZE)
    assert file.direction is Direction.MINIMIZE


def test_second_opinions_are_distances_of_other_extractors_in_the_same_direction(workplace: Workplace) -> None:
    assert workplace.load().second_opinions() == ("fd_pca4_24",)
    fd = "{{kind: frechet, extractor: {{kind: pixels, num_components: {}}}, num_samples: {}}}"
    deciding = (f"base.evaluation.evaluators=[{fd.format(4, 24)}]", "study.objective=fd_pca4_24")
    for final, others in ((fd.format(6, 24), ("fd_pca6_24",)), (fd.format(4, 32), ())):
        file = workplace.load(*deciding, f"base.evaluation.final_evaluators=[{final}]")
        assert file.second_opinions() == others


def test_the_fingerprint_has_what_decides_the_runs_and_not_where_or_how_many_are_run(workplace: Workplace) -> None:
    file = workplace.load()
    same = workplace.load(
        *("study.trials=9", "study.max_hours=1", "study.confirmation.max_seeds=7", "study.algorithm={kind: random}"),
        *("base.resources.cpus_per_worker=2", "base.cadence.checkpoint_minutes=1"),
    )
    assert same.fingerprint() == file.fingerprint()
    assert file.differences(same.fingerprint()) == []
    for override, part in (
        ("base.training.batch_size=32", ["base"]),
        ("study.proxy={training.batch_size: 32}", ["study.proxy"]),
        ("space.training.learning_rate.high=1e-2", ["space"]),
        ("study.seeds_per_trial=2", ["study.seeds_per_trial"]),
    ):
        assert file.differences(workplace.load(override).fingerprint()) == part


def test_the_resolved_study_is_read_as_the_same_study(workplace: Workplace, tmp_path: Path) -> None:
    file = workplace.load("study.trials=5", "study.proxy={model.hidden_size: 8}")
    (tmp_path / "witness.py").write_text((workplace.folder / "witness.py").read_text())
    path = file.write_resolved(tmp_path)
    plain = yaml.safe_load(path.read_text())
    assert plain["study"]["confirmation"]["confidence"] == 0.95  # a default, filled in
    again = load_study(path, {})
    assert (again.study, again.base, again.small, again.space) == (file.study, file.base, file.small, file.space)
    assert again.fingerprint() == file.fingerprint()


def test_an_identity_is_computed_once_for_each_run_of_a_whole_study(
    workplace: Workplace, make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads files and resolves the curriculum: eleven times a run, it was a third of a run's cost in the driver."""
    calls: Counter[str] = Counter()
    original = Experiment.identity

    def identity(self: Experiment) -> str:
        calls[json.dumps(self.to_dict(), sort_keys=True)] += 1
        return original(self)

    monkeypatch.setattr(Experiment, "identity", identity)
    search = make_search(workplace.load("study.trials=4", "study.ablation_seeds=2", "study.seeds_per_trial=2"))
    jobs = Theatre(search).play()
    confirmation = confirmation_of(search)
    jobs += Theatre(confirmation).play()
    jobs += Theatre(ablation_of(confirmation)).play()
    assert len({job.key for job in jobs}) > 20
    trained = set()
    for job in jobs:
        plain = job.experiment.to_dict()
        plain["cadence"]["sample_grids"] = None  # which is each run's own, and no part of its identity
        trained.add(json.dumps(plain, sort_keys=True))
    assert trained <= calls.keys()
    search.file.run(baseline("no_curriculum", search.file.base), 2)  # known
    assert {config: count for config, count in calls.items() if count > 1} == {}
