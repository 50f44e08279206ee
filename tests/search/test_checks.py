"""What can be wrong with a study file as a whole, each told in one line with the field, what was given and what is
allowed."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from support.image_files import picture, write
from support.workplace import REPOSITORY, Workplace

from curriculum_search.diffusion import LogNormal
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError
from curriculum_search.search.checks import warn_of_lost_fields
from curriculum_search.search.load import read_study, study_of
from curriculum_search.search.space import Categorical, Space


def starting(text: str) -> str:
    """The pattern of a line that starts with a text."""
    return f"{re.escape(text)}.*"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "study.objective=fid",
            r"study\.objective: no evaluator of base\.evaluation\.evaluators yields 'fid'; they yield: val_loss, .*",
        ),
        (
            "base.data={kind: folder, path: /nowhere/at/all}",
            r"base\.data: .*/nowhere/at/all does not exist.*",
        ),
        (
            "base.process={kind: edm}",
            r"base\.evaluation: sampler ddim needs process ddpm, .*",
        ),
        (
            "base.resources.workers=3",
            r"base: training\.noise_shards must be a multiple of the number of workers \(3\), not 8",
        ),
        (
            "space.training.lr={kind: float, low: 0.1, high: 1.0}",
            r"space\.training\.lr = 0\.1: base\.training\.lr: no such field.*",
        ),
        (
            "space.training.batch_size={kind: categorical, choices: [16, 48]}",
            r"space\.training\.batch_size = 48: base\.training: total_images must be a multiple of batch_size .*",
        ),
        (
            "space.model.kind={kind: categorical, choices: [dit, resnet]}",
            r"space\.model\.kind = 'resnet': base\.model\.kind: 'resnet' is unknown.*; "
            r"allowed: dit, pixart, text_dit, unet",
        ),
        (
            "study.secondary_objectives=[fid50k]",
            starting(
                "study.secondary_objectives: no evaluator of base.evaluation.evaluators yields 'fid50k'; they yield: "
            ),
        ),
        (
            "study.objective=images_to_baseline",
            starting("study.objective: images_to_baseline can only be one of secondary_objectives"),
        ),
        (
            "study.objective=fd_pca4_24",
            starting(
                "study.objective: no evaluator of base.evaluation.evaluators yields 'fd_pca4_24'; they yield: "
                "val_loss, val_loss_q0-0.2, val_loss_q0.2-0.4, val_loss_q0.4-0.6, val_loss_q0.6-0.8, val_loss_q0.8-1, "
                "witnessed; it is measured at the end alone: move it from final_evaluators to evaluators"
            ),
        ),
        (
            "base.density={kind: moving}",
            starting("base.density: ordinary training, which everything is compared with, needs a density that stays"),
        ),
        (
            "space.density.kind={kind: categorical, choices: [moving]}",
            starting("study.equal_tries: the space never has curriculum.order.kind none with a density that stays"),
        ),
        (
            "space.curriculum.order.kind.choices=[easy_to_hard]",
            starting(
                "study.equal_tries: the space never has curriculum.order.kind none with a density that stays, so that "
                "ordinary training would get no tries of training.learning_rate beside the curricula; add none to the "
                "choices of "
            ),
        ),
        (
            "space.density={kind: categorical, choices: [{kind: laplace}, {kind: speed}]}",
            starting(
                "study.equal_tries: the space never has curriculum.order.kind none with a density that stays as in "
                "base (density uniform, weighting none), so that ordinary training would get no tries of "
                "training.learning_rate beside the curricula; have density take the values of base too, or set "
            ),
        ),
        (
            "space.weighting.kind={kind: categorical, choices: [p2]}",
            starting("study.equal_tries: the space never has curriculum.order.kind none with a density that stays as"),
        ),
        (
            "space.data={kind: categorical, choices: [{kind: digits}, {kind: folder, path: /nowhere/at/all}]}",
            starting(
                "space.data = {'kind': 'folder', 'path': '/nowhere/at/all'}: data: path: /nowhere/at/all does not "
            ),
        ),
        (
            "space.evaluation.sampler={kind: categorical, choices: [{kind: ddim, num_steps: 2}, {kind: euler}]}",
            r"space\.evaluation\.sampler = \{'kind': 'euler'\}: evaluation: sampler euler needs .*",
        ),
        (
            "study.proxy={training.learning_rate: 1e-3}",
            starting("study.proxy: training.learning_rate is searched; take it out "),
        ),
        (
            "study.proxy.training.learning_rate=1e-3",
            starting("study.proxy: training.learning_rate is searched; take it out "),
        ),
        (
            "study.proxy={evaluation.evaluators: [{kind: witness}]}",
            starting(
                "study.objective: no evaluator of base with study.proxy.evaluation.evaluators yields 'val_loss'; "
            ),
        ),
        (
            "study={name: a, objective: val_loss, secondary_objectives: [witnessed], algorithm: {kind: cmaes}}",
            starting(
                "study.algorithm: cmaes cannot search this space: If the study is being used for multi-objective "
            ),
        ),
        (
            "study.algorithm={kind: optuna, name: TPESampler, options: {speed: 1}}",
            starting("study.algorithm: TPESampler cannot search this space: options of sampler TPESampler: "),
        ),
    ],
)
def test_a_study_that_cannot_work_is_told_with_its_field(workplace: Workplace, override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        workplace.load(override)
    file, _, rest = str(caught.value).partition(": ")
    assert file == str(workplace.study)
    assert re.fullmatch(message, rest), rest  # "." is no line break


def test_every_choice_of_a_path_is_looked_at_and_the_wrong_one_is_named(workplace: Workplace) -> None:
    for i in range(24):
        write(workplace.folder / "images" / f"{i}.png", picture(8, 8))
    choices = f"choices: [{workplace.folder / 'images'}, /nowhere/at/all]"
    path = f"space.data.path={{kind: categorical, {choices}, when: {{data.kind: folder}}}}"
    kind = "space.data.kind={kind: categorical, choices: [digits, folder]}"
    scale = "space.evaluation.guidance_scale={kind: categorical, choices: [1.0]}"
    with pytest.raises(UserError, match=r"space\.data\.path = '/nowhere/at/all': data: path: .* does not exist"):
        workplace.load(kind, path, scale)


def test_only_what_differs_from_the_base_is_looked_at(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[tuple[str, ...]] = []
    check = Experiment.check

    def counted(experiment: Experiment, *parts: str) -> None:
        looked_at.append(parts)
        check(experiment, *parts)

    monkeypatch.setattr(Experiment, "check", counted)
    workplace.load("space.data={kind: categorical, choices: [{kind: digits}]}")
    assert looked_at == [(), ()]  # the base, at both sizes


FIELDS = ("patch_size", "hidden_size", "depth", "num_heads")


def lost_fields(*lines: str, workplace: Workplace) -> list[str]:
    """What is told of the fields that kinds in a space drop."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        workplace.load(*lines)
    return [str(w.message) for w in caught if "takes the place" in str(w.message)]


def test_a_kind_that_drops_what_is_written_in_the_base_is_told_with_the_way_out(workplace: Workplace) -> None:
    choices = "{kind: categorical, choices: [dit, pixart]}"
    sizes = {name: f"space.model.{name}={{kind: int, low: 2, high: 2}}" for name in ("num_heads", "patch_size")}
    (line,) = lost_fields(f"space.model.kind={choices}", *sizes.values(), workplace=workplace)
    assert line == (
        f"{workplace.study}: space.model.kind: pixart takes the place of all of base.model, so that its trials have "
        "hidden_size 384 (base: 16), depth 12 (base: 1); to keep what is written there give whole parts as choices: "
        "space.model: {kind: categorical, choices: [..., {kind: pixart, hidden_size: 16, depth: 1}]}"
    )


def test_where_nothing_that_is_written_is_lost_nothing_is_told(workplace: Workplace) -> None:
    sizes = [f"space.model.{name}={{kind: int, low: 4, high: 4, when: {{model.kind: pixart}}}}" for name in FIELDS]
    kinds = "space.model.kind={kind: categorical, choices: [dit, pixart]}"
    assert lost_fields(kinds, *sizes, workplace=workplace) == []
    whole = "space.model={kind: categorical, choices: [{kind: dit, depth: 2}, {kind: unet}]}"
    assert lost_fields(whole, workplace=workplace) == []
    elsewhere = [size.replace("model.kind: pixart", "model.kind: dit") for size in sizes]
    assert len(lost_fields(kinds, *elsewhere, workplace=workplace)) == 1


def test_defaults_of_a_study_from_python_are_not_taken_for_written(workplace: Workplace) -> None:
    file = workplace.load()
    space = Space(parameters={"density.kind": Categorical(choices=("lognormal", "logit_normal"))})
    study = replace(file.study, equal_tries=False)
    evaluators = tuple(e for e in file.base.evaluation.evaluators if e.names != ("witnessed",))
    base = replace(file.base, plugins=(), evaluation=replace(file.base.evaluation, evaluators=evaluators))
    for density, told in ((LogNormal(), 0), (LogNormal(mean=0.5), 1)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            study_of(study, replace(base, density=density), space)
        assert len([w for w in caught if "takes the place" in str(w.message)]) == told


RECIPES = [p for p in sorted((REPOSITORY / "search_spaces").rglob("*.yaml")) if "\nspace:" in p.read_text()]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_recipe_loses_what_its_base_says(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_lost_fields(read_study(path))
