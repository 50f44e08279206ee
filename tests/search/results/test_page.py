"""What a study's page is made of; runs are played, not trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.study import MakeSearch
from support.theatre import Theatre, ablation_of, confirmation_of
from support.workplace import Workplace

from curriculum_search.report.page import StudyData
from curriculum_search.search.results import page
from curriculum_search.search.results.page import PAGE, Findings, write_page
from curriculum_search.search.results.publish import find

Gather = Callable[..., StudyData]


@pytest.fixture
def gather(workplace: Workplace, make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch) -> Gather:
    """Plays a study with overrides, and gives what its page is made of."""

    def play(*overrides: str) -> StudyData:
        search = make_search(workplace.load("study.trials=4", *overrides))
        Theatre(search).play()
        confirmation = confirmation_of(search)
        Theatre(confirmation).play()
        ablation = ablation_of(confirmation)
        Theatre(ablation).play()
        given: list[StudyData] = []

        def render(data: StudyData) -> str:
            given.append(data)
            return "page"

        monkeypatch.setattr(page, "page", render)
        findings = find(search, confirmation, ablation)
        path = write_page(search.store.root / PAGE, search.store.root, findings, search, confirmation, ablation)
        assert path.read_text() == "page"
        return given[0]

    return play


def test_arms_are_the_confirmations_with_the_reference_first(gather: Gather) -> None:
    data = gather()
    assert [arm.role for arm in data.arms] == ["reference", "baseline", "leader", "control"]
    reference, _, leader, control = data.arms
    assert reference.title == "no curriculum"
    assert control.title == f"{leader.title.partition(':')[0]}, exposure only"
    assert list(leader.finals) == ["val_loss", "fd_pca4_24"]
    assert leader.curves["val_loss"].keys() == leader.finals["val_loss"].keys()
    assert all(arm.schedule is not None for arm in data.arms)


def test_effects_are_each_leader_its_control_what_its_order_adds_and_the_baselines(gather: Gather) -> None:
    data = gather()
    effects = data.effects["val_loss"]
    titles = {arm.role: arm.title for arm in data.arms}
    assert [(effect.arm, effect.against) for effect in effects] == [
        (titles["leader"], titles["reference"]),
        (titles["control"], titles["reference"]),
        (titles["leader"], titles["control"]),
        (titles["baseline"], titles["reference"]),
    ]
    assert effects[2].name.endswith(": its order, on top of exposure")
    for effect in effects:
        assert effect.difference is not None
        assert effect.low is not None
        assert effect.high is not None
        assert effect.low < effect.difference < effect.high
    assert list(data.effects) == ["val_loss", "fd_pca4_24"]


def test_trials_have_their_time_their_outcome_and_their_values(gather: Gather) -> None:
    data = gather("study.trials=6")
    assert [trial.name for trial in data.trials[:2]] == [
        "no curriculum",
        "published (2 % of the run): easy to hard, 20 clusters, plateau",
    ]
    assert not data.trials[0].params
    assert {trial.outcome for trial in data.trials} == {"finished"}
    assert all(trial.values[0] == trial.curve[-1][1] for trial in data.trials)
    ends = [trial.ended for trial in data.trials]
    assert None not in ends
    assert min(trial.began for trial in data.trials if trial.began is not None) == 0.0
    assert {parameter.path for parameter in data.parameters} >= set(data.trials[2].params)


def test_costs_are_by_phase_and_add_up(gather: Gather) -> None:
    data = gather("study.ablation_seeds=2")
    assert [cost.part for cost in data.costs] == ["search", "confirmation", "ablation"]
    assert [cost.runs > 0 for cost in data.costs] == [True] * 3
    assert sum(cost.images for cost in data.costs) == 320 * sum(cost.runs for cost in data.costs)
    assert data.path is not None
    assert len(data.path.steps) == 5
    assert data.path.sentence.startswith("val_loss changes by -0.")


def test_what_a_study_does_not_have_is_left_out(gather: Gather) -> None:
    data = gather("study.confirmation.leaders=0")
    assert (data.arms, data.effects, data.samples, data.path, data.pareto) == ([], {}, [], None, "")
    assert "nothing was confirmed" in data.layers.headline
    assert [cost.runs for cost in data.costs][1:] == [0, 0]


def test_several_objectives_have_their_pareto_set(gather: Gather) -> None:
    data = gather("study.secondary_objectives=[images_to_baseline]")
    assert data.objectives == ("val_loss", "images_to_baseline")
    assert any(trial.best for trial in data.trials)
    assert "no other beats in one objective" in data.pareto


def test_commands_name_the_studys_folder_from_where_one_is(
    gather: Gather, workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace.folder)
    commands = gather().commands
    assert commands["This page again"] == "python jobs/report.py results/tiny"
    assert "Train the best config" not in commands  # nothing has been exported
    (workplace.results / "tiny" / "best.yaml").write_text("{}")
    monkeypatch.chdir("/")
    folder = workplace.results / "tiny"
    found = page._commands(folder)
    assert found["Train the best config"] == f"python jobs/train.py {Path(str(folder)).relative_to('/')}/best.yaml"


def test_a_long_file_is_cut(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("x" * 200_000)
    assert page._text(tmp_path / "study.yaml").endswith("... (200,000 characters)")


def test_findings_are_what_the_page_says(gather: Gather) -> None:
    data: Any = gather()
    assert Findings.__dataclass_fields__.keys() == {"layers", "winner", "rows", "tables", "failures"}
    assert data.layers.headline.startswith("Trial ")
    assert json.dumps([row.name for row in data.rows])
    assert data.importances[0].heading == "Importance of each parameter over all trials"
