"""Warm start: configs of earlier studies and of files are tried first; values are taken over only if comparable."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from support.study import MakeSearch
from support.theatre import Theatre
from support.workplace import Workplace

from curriculum_search.experiment import Experiment
from curriculum_search.export import experiment_yaml
from curriculum_search.loading import UserError
from curriculum_search.runs.job import Job
from curriculum_search.search.optuna.searcher import LEARNT
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.space import Categorical, Float, Int, Space
from curriculum_search.search.warm_start import check_warm_start, project, warm_start

ALLOWED = (
    "; allowed: the folder of a study (results/NAME), an experiment file such as its best.yaml, or the word published"
)
SPACE = Space(
    parameters={
        "curriculum.order.kind": Categorical(choices=("easy_to_hard", "none")),
        "curriculum.num_clusters": Int(low=2, high=10, when={"curriculum.order.kind": "easy_to_hard"}),
        "curriculum.pacing": Categorical(
            choices=({"kind": "linear"}, {"kind": "linear", "end_share": 0.25}),
            when={"curriculum.order.kind": "easy_to_hard"},
        ),
        "training.learning_rate": Float(low=1e-4, high=1e-2),
        "model.widths": Categorical(choices=((1, 2), (1, 2, 2))),
    }
)


@dataclass
class Played:
    """A search whose training was played: the phase, what was said of its warm start, and the jobs."""

    phase: SearchPhase
    lines: list[str]
    jobs: list[Job]

    @property
    def root(self) -> Path:
        """The study's folder."""
        return self.phase.store.root

    @property
    def trials(self) -> list[FrozenTrial]:
        """As Optuna has them."""
        return self.phase.searcher.study.trials

    @property
    def sources(self) -> list[str]:
        """Where the trials come from, as far as they were not proposed by the sampler."""
        return [t.user_attrs["source"] for t in self.trials if "source" in t.user_attrs]

    @property
    def searched(self) -> list[dict[str, Any]]:
        """What the searched configs set, the best config first."""
        return [dict(c.run.arm.values) for c in self.phase.finished() if c.run.arm.role == "searched"]

    @property
    def trained(self) -> list[str]:
        """The keys of the jobs."""
        return [job.key for job in self.jobs]


class Play(Protocol):
    """Runs the search of the tiny study under a name, with overrides, as the command does."""

    def __call__(self, name: str, *overrides: str, limit: int = 1000) -> Played: ...


@pytest.fixture
def play(workplace: Workplace, make_search: MakeSearch) -> Play:
    def run(name: str, *overrides: str, limit: int = 1000) -> Played:
        file = workplace.load(f"study.name={name}", "study.trials=6", *overrides)
        check_warm_start(file)
        search = make_search(file)
        (search.store.root / "study.json").write_text(file.fingerprint())
        lines = warm_start(file, search.searcher, search.store)
        return Played(search, lines, Theatre(search).play(limit))

    return run


@pytest.mark.parametrize(
    ("plain", "params", "outside"),
    [
        (
            {
                "curriculum": {
                    "order": {"kind": "none"},
                    "num_clusters": 5,
                    "pacing": {"kind": "linear", "end_share": 0.25},
                },
                "training": {"learning_rate": 1e-3},
                "model": {"widths": [1, 2, 2]},
            },
            {"curriculum.order.kind": "none", "training.learning_rate": 1e-3, "model.widths": [1, 2, 2]},
            {},
        ),
        (
            {
                "curriculum": {
                    "order": {"kind": "easy_to_hard"},
                    "num_clusters": 20,
                    "pacing": {"kind": "linear", "end_share": 0.25, "start_share": 0.0},
                },
                "training": {"learning_rate": 1e-3},
                "model": {"kind": "dit"},
            },
            {
                "curriculum.order.kind": "easy_to_hard",
                "curriculum.pacing": {"kind": "linear", "end_share": 0.25},
                "training.learning_rate": 1e-3,
            },
            {"curriculum.num_clusters": 20, "model.widths": None},
        ),
        (
            {"curriculum": {"order": {"kind": "random"}, "num_clusters": 5}, "training": {"learning_rate": True}},
            {},
            {"curriculum.order.kind": "random", "training.learning_rate": True, "model.widths": None},
        ),
    ],
)
def test_a_config_is_projected_as_far_as_the_space_has_it(
    plain: dict[str, Any], params: dict[str, Any], outside: dict[str, Any]
) -> None:
    assert project(SPACE, plain) == (params, outside)


def test_the_published_setting_is_tried_first_and_its_own_baseline_run_is_not_repeated(play: Play) -> None:
    plateau = "when: {curriculum.pacing.kind: plateau}"
    search = play(
        "first",
        "study.warm_start=[published]",
        "space.training.learning_rate.low=1e-4",
        "space.curriculum.num_clusters.high=20",
        "space.curriculum.pacing.kind={kind: categorical, choices: [linear, plateau]}",
        f"space.curriculum.pacing.gate={{kind: categorical, choices: [raw, smoothed], {plateau}}}",
        f"space.curriculum.pacing.patience_share={{kind: float, low: 0.0005, high: 0.1, {plateau}}}",
        f"space.curriculum.pacing.max_stage_share={{kind: float, low: 0.001, high: 0.1, {plateau}}}",
        f"space.curriculum.pacing.end_share={{kind: float, low: 0.02, high: 0.8, {plateau}}}",
    )
    assert search.lines == ["warm start: published: 1 config to try first"]
    (trial,) = [t for t in search.trials if t.user_attrs.get("source") == "published"]
    assert (trial.number, trial.params["curriculum.num_clusters"], trial.state) == (0, 20, TrialState.COMPLETE)
    assert len(search.trained) == 2 + 5


def test_what_a_config_loses_is_said(play: Play, workplace: Workplace) -> None:
    other = workplace.load("base.curriculum={num_clusters: 12, partition: {kind: uniform}}").base
    path = workplace.folder / "exported.yaml"
    path.write_text(experiment_yaml(other, "a config"))
    search = play("second", f"study.warm_start=[{path}]")
    assert search.lines == [
        f"warm start: {path}: 1 config to try first",
        f"  {path}: left to the sampler, for curriculum.num_clusters is a whole number from 2 to 4 in steps of 1 here, "
        "and 12 there",
        f'  {path}: not searched here, so as in base: curriculum.partition.kind ("uniform" there)',
    ]
    first = search.trials[0]
    assert first.user_attrs["source"] == str(path)
    assert first.params["curriculum.order.kind"] == "easy_to_hard"
    assert len(search.searched) == 6  # it is one of the trials, not one more
    again = play("second", f"study.warm_start=[{path}]", "study.trials=8")
    assert again.lines == []
    assert again.sources == [str(path)]
    assert len(again.searched) == 8


def test_the_best_configs_of_a_study_on_another_base_are_tried_and_no_value_is_taken_over(play: Play) -> None:
    old = play("old", "base.training.batch_size=32")
    search = play("new", f"study.warm_start=[{old.root}]")
    assert search.lines == [
        f"warm start: {old.root}: 3 configs to try first",
        "  its values are not taken over, for it has another base",
    ]
    trials = search.trials
    assert [trial.params for trial in trials[:3]] == old.searched[:3]
    assert not any(LEARNT in trial.user_attrs for trial in trials)
    assert len(search.trained) == 2 + 6  # the baselines and the trials
    again = play("new", f"study.warm_start=[{old.root}]")
    assert (again.lines, again.trained) == ([], [])


@pytest.mark.parametrize(("seed", "repeated"), [(0, False), (1, True), (4, True), (5, False)])
def test_a_config_that_was_chosen_on_the_seeds_of_the_confirmation_is_told(
    play: Play, workplace: Workplace, seed: int, repeated: bool
) -> None:
    """The tiny study confirms on the seeds 1 to 4."""
    path = workplace.folder / "best.yaml"
    path.write_text(experiment_yaml(replace(workplace.load().base, seed=seed), "a config"))
    other = f"study.seed={seed}"
    play("other", other)
    for name, item in (("file", path), ("study", workplace.results / "other")):
        said = [line for line in play(name, f"study.warm_start=[{item}]").lines if "set study.seed" in line]
        words = f"  it was chosen on seed {seed}, on which this study confirms; for a verdict on seeds that it has not "
        assert said == ([f"{words}seen, set study.seed to another"] if repeated else [])


def test_a_study_that_differs_in_its_space_alone_is_learnt_and_nothing_is_trained_twice(
    play: Play, workplace: Workplace
) -> None:
    old = play("old", "study.trials=8")
    wider = "space.training.learning_rate.low=1e-4"
    search = play("new", f"study.warm_start=[{old.root}]", wider)
    assert search.lines == [f"warm start: {old.root}: 3 configs to try first, 5 learnt with their values"]
    trials = search.trials
    assert [trial.params for trial in trials if "source" in trial.user_attrs] == old.searched
    by_text = {json.dumps(dict(c.run.arm.values)): c.values for c in old.phase.finished()}
    for trial in trials[:8]:
        assert trial.state is TrialState.COMPLETE
        assert tuple(trial.values) == by_text[json.dumps(trial.params)]
    assert not set(search.trained) & set(old.trained[2:])
    assert len(search.trained) == 2 + 3  # the baselines, and of six trials those that are new
    assert search.searched[0] == old.searched[0]  # so the earlier study's best can be confirmed here
    again = play("new", f"study.warm_start=[{old.root}]", wider)
    assert (again.lines, again.trained) == ([], [])

    book = search.phase.store
    assert book.tracker.flush(60) == ""
    client = MlflowClient(f"sqlite:///{workplace.results / 'mlflow.db'}")
    first, second = old.phase.finished()[:2]
    best = (first if first.run.trial is not None else second).run
    (found,) = [
        run
        for experiment in client.search_experiments()
        if experiment.name == "phases 1"
        for run in client.search_runs([experiment.experiment_id])
        if run.data.tags.get("arm") == f"{old.root}, trial {best.trial}"
    ]
    assert found.info.status == "FINISHED"
    assert len(client.get_metric_history(found.info.run_id, "val_loss")) == 4


def test_the_runs_of_all_seeds_are_taken_over(play: Play) -> None:
    two = "study.seeds_per_trial=2"
    old = play("old", two)
    search = play("new", two, "space.curriculum.num_clusters.high=9", f"study.warm_start=[{old.root}]")
    assert search.lines == [f"warm start: {old.root}: 3 configs to try first, 3 learnt with their values"]
    assert len(search.trained) == 2 * (2 + 3)
    assert search.searched[0] == old.searched[0]
    one = play("one", f"study.warm_start=[{old.root}]")
    assert one.lines[1] == "  its values are not taken over, for it has another study.seeds_per_trial"


def test_values_are_taken_over_by_their_objectives_name(play: Play) -> None:
    old = play("old", "study.secondary_objectives=[images_to_baseline]")
    search = play("new", f"study.warm_start=[{old.root}]")
    assert search.lines[0].endswith(", 3 learnt with their values")
    expected = {json.dumps(t.params): t.values[0] for t in old.trials}
    for trial in search.trials:
        if LEARNT in trial.user_attrs:
            assert trial.values == [expected[json.dumps(trial.params)]]
    three = play("three", f"study.warm_start=[{search.root}]", "study.secondary_objectives=[images_to_baseline]")
    assert three.lines[1] == "  its values are not taken over, for it has another study.secondary_objectives"


def test_a_study_that_is_at_work_is_read_and_not_disturbed(play: Play) -> None:
    old = play("old", limit=4)  # two baselines and two trials have begun, and two of the four have ended at most
    journal = old.root / "study.journal"
    with journal.open("a") as file:
        file.write('{"op_code": 6, "trial_')  # its driver is writing
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in old.root.rglob("*")}
    complete = [t for t in old.trials if t.state is TrialState.COMPLETE]
    search = play("new", f"study.warm_start=[{old.root}]")
    assert len(search.sources) == len(complete)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in old.root.rglob("*")} == before


def test_a_study_from_before_trials_had_several_seeds_is_read(play: Play) -> None:
    old = play("old")
    fingerprint = old.root / "study.json"
    parts = json.loads(fingerprint.read_text())
    del parts["study.seeds_per_trial"]
    fingerprint.write_text(json.dumps(parts))
    assert play("new", f"study.warm_start=[{old.root}]").lines[0] == (f"warm start: {old.root}: 3 configs to try first")


def test_a_study_in_which_nothing_has_finished_is_no_mistake(play: Play) -> None:
    old = play("old", "study.trials=0")
    search = play("new", f"study.warm_start=[{old.root}]")
    assert search.lines == [
        f"warm start: {old.root}: nothing to try",
        "  no searched config has finished there",
    ]


def _no_study(folder: Path) -> Path:
    return folder


def _no_experiment(folder: Path) -> Path:
    return folder / "study.yaml"


def _missing_plugin(folder: Path) -> Path:
    path = folder / "elsewhere.yaml"
    path.write_text(experiment_yaml(Experiment(plugins=("sine.py",)), ""))
    return path


def _broken_study(folder: Path) -> Path:
    (folder / "study.json").write_text("{}")
    (folder / "study.journal").write_text("")
    return folder


def _unknown_kind(folder: Path) -> Path:
    path = folder / "elsewhere.yaml"
    path.write_text("curriculum: {pacing: {kind: sine}}\n")
    return path


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda folder: folder / "nowhere", "there is no such file or folder"),
        (_no_study, "is no study's folder, it has no study.json"),
        (_broken_study, "is not a study that can be read (KeyError: 'base')"),
        (_no_experiment, "study: no such field; allowed: cadence, curriculum, data, "),
        (_missing_plugin, "plugins: {folder}/sine.py cannot be read (No such file or directory)"),
        (_unknown_kind, "curriculum.pacing.kind: 'sine' is unknown"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_can(
    workplace: Workplace, no_ray: None, make: Callable[[Path], Path], problem: str
) -> None:
    item = make(workplace.folder)
    file = workplace.load(f"study.warm_start=[{item}]")
    with pytest.raises(UserError) as caught:
        check_warm_start(file)
    message = str(caught.value)
    start = f"{file.path}: study.warm_start: {item}: {problem}"
    assert message.startswith(start.format(folder=workplace.folder))
    assert message.endswith(ALLOWED)
    assert "\n" not in message


def test_a_study_whose_plugin_is_not_named_here_says_so(play: Play, workplace: Workplace) -> None:
    old = play("old")
    fingerprint = (old.root / "study.json").read_text().replace('"kind": "linear"', '"kind": "sine"')
    (old.root / "study.json").write_text(fingerprint)
    with pytest.raises(UserError, match=r"'sine' is unknown.*if a plug-in defines it, name that in base\.plugins"):
        check_warm_start(workplace.load(f"study.warm_start=[{old.root}]"))
