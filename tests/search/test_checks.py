"""What can be wrong with a study file as a whole, each told in one line with the field, what was given and what is
allowed."""

import re

import pytest
from support.workplace import Workplace

from curriculum_search.loading import UserError


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
