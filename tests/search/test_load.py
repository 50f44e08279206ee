"""From a study file and a command line to a study; from a mistake to one message with the file, the field, what was
given and what is allowed."""

import re
from pathlib import Path
from typing import Protocol

import pytest

from curriculum_search.curriculum import Linear, Pacing, Plateau
from curriculum_search.diffusion import MinSNR, NoWeighting, Uncertainty
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError, parse_overrides, validated
from curriculum_search.search.load import load_study
from curriculum_search.search.study import StudyFile

STUDY = """
study:
  name: tiny
  objective: val_loss
base:
  data: {kind: digits}
  model: {kind: dit, patch_size: 4, hidden_size: 16, depth: 1, num_heads: 2}
  training: {total_images: 640, batch_size: 16, num_evaluations: 4}
  evaluation: {evaluators: [{kind: val_loss, num_images: 8}], final_evaluators: []}
space:
  training.learning_rate: {kind: float, low: 5e-4, high: 5e-3, log: true}
  curriculum.order.kind: {kind: categorical, choices: [easy_to_hard, none]}
  curriculum.pacing.kind: {kind: categorical, choices: [linear, plateau], when: {curriculum.order.kind: easy_to_hard}}
  curriculum.pacing.patience_share: {kind: float, low: 0.01, high: 0.1, when: {curriculum.pacing.kind: plateau}}
"""


class Load(Protocol):
    """Reads the study file with overrides."""

    def __call__(self, *overrides: str) -> StudyFile: ...


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def call(*overrides: str) -> StudyFile:
        path = tmp_path / "study.yaml"
        path.write_text(STUDY)
        return load_study(path, parse_overrides(overrides))

    return call


def test_a_good_file_is_read_and_any_field_can_be_overridden(load: Load) -> None:
    file = load(
        "study.trials=3",
        "base.training.learning_rate=1e-4",
        "base.curriculum.pacing={kind: plateau, patience_share: 0.2}",
        "space.training.learning_rate.high=1e-2",
        "space.curriculum.num_clusters={kind: int, low: 2, high: 5}",
    )
    assert file.study.trials == 3
    assert file.base.training.learning_rate == 1e-4
    assert file.base.curriculum.pacing == Plateau(patience_share=0.2)
    assert file.space.parameters["training.learning_rate"].values(2) == [5e-4, 1e-2]
    assert "curriculum.num_clusters" in file.space.parameters
    assert file.trial({"curriculum.pacing.kind": "linear"}).experiment.curriculum.pacing == Linear()


MISTAKES = {
    "an unknown key": (
        "base.training.batchsize=3",
        r"base\.training\.batchsize: no such field \(did you mean batch_size\?\); allowed: batch_size, betas, .*",
    ),
    "an unknown key in a list": (
        "base.evaluation.evaluators=[{kind: val_loss}, {kind: val_loss, num_image: 3}]",
        r"base\.evaluation\.evaluators\.1\.num_image: no such field \(did you mean num_images\?\); allowed: kind, .*",
    ),
    "an unknown section": ("bases.seed=3", r"bases: no such section; allowed: study, base, space"),
    "a missing section": ("space=null", r"space: this section is required, and holds fields"),
    "a wrong type": (
        "base.training.batch_size=many",
        r'base\.training\.batch_size: must be a whole number, not "many"',
    ),
    "a number that is not whole": ("study.trials=2.5", r"study\.trials: must be a whole number, not 2\.5"),
    "a word for a number": ("study.trials=yes", r'study\.trials: must be a whole number, not "yes"'),
    "nothing": ("base.seed=null", r"base\.seed: must be a whole number, not null"),
    "no number": (
        "base.training.learning_rate=.nan",
        r"base\.training\.learning_rate: must be a finite number, not NaN",
    ),
    "a list that is too long": ("base.training.betas=[1, 2, 3]", r"base\.training\.betas: must hold 2 values, not .*"),
    "a list that is too short": ("base.training.betas=[0.9]", r"base\.training\.betas\.1: is required"),
    "no list": ("base.evaluation.evaluators=3", r"base\.evaluation\.evaluators: must be a list, not 3"),
    "no mapping": ("base.model=dit", r'base\.model: must be a mapping of fields to values, not "dit"'),
    "a value out of range": (
        "base.training.batch_size=24",
        r"base\.training: total_images must be a multiple of batch_size \(24\), not 640; 624 would do",
    ),
    "an unknown word": (
        "base.training.decay=cos",
        r"base\.training\.decay: must be 'constant' or 'cosine', not \"cos\"",
    ),
    "an unknown kind": (
        "base.model.kind=ditt",
        r"base\.model\.kind: 'ditt' is unknown \(did you mean dit\?\); allowed: .*",
    ),
    "a missing kind": (
        "base.model={depth: 2}",
        r'base\.model: needs a kind: dit, pixart, text_dit, unet; given {"depth": 2}',
    ),
    "a field of another kind": (
        "base.curriculum.pacing={kind: linear, patience_share: 0.1}",
        r"base\.curriculum\.pacing\.patience_share: no such field .*; allowed: end_share, kind, start_unlocked",
    ),
    "a missing plug-in": ("base.plugins=[nowhere.py]", r"base\.plugins: .*/nowhere\.py cannot be read \(No such .*\)"),
    "plug-ins that are no list": (
        "base.plugins=mine.py",
        r'base\.plugins: must be a list of file names, not "mine\.py"',
    ),
    "a when on an unknown parameter": (
        "space.training.weight_decay={kind: float, low: 0.0, high: 0.1, when: {training.decay: cosine}}",
        r"space\.training\.weight_decay\.when: training\.decay is not a parameter of the space; the others are: .*",
    ),
    "a when on a value that never is": (
        "space.training.weight_decay={kind: float, low: 0.0, high: 0.1, when: {curriculum.order.kind: random}}",
        r"space\.training\.weight_decay\.when: curriculum\.order\.kind is never 'random'.*",
    ),
    "a distribution without a kind": (
        "space.seed={low: 1, high: 2}",
        r'space\.seed: needs a kind: categorical, float, int; given {"low": 1, "high": 2}',
    ),
    "a distribution of an unknown kind": (
        "space.seed={kind: integer, low: 1, high: 2}",
        r"space\.seed\.kind: 'integer' is unknown.*; allowed: categorical, float, int",
    ),
    "a distribution without values": (
        "space.seed={kind: int, low: 3, high: 2}",
        r"space\.seed: low must be at most high and both finite, not 3 and 2",
    ),
    "a value where a distribution belongs": (
        "space.seed=3",
        r"space\.seed: must be a mapping of fields to values, not 3",
    ),
    "a name that is no folder": ("study.name=a/b", r"study: name must be usable as a folder's name, .*, not 'a/b'"),
    "an unknown baseline": (
        "study.baselines=[no_curriculum, best]",
        r"study\.baselines\.1: must be 'no_curriculum', .*",
    ),
    "no ordinary training": ("study.baselines=[published]", r"study: baselines must include no_curriculum: .*"),
}


@pytest.mark.parametrize(("override", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_gets_one_line_with_file_field_given_and_allowed(load: Load, override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load(override)
    file, _, rest = str(caught.value).partition(": ")
    assert file.endswith("study.yaml")
    assert re.fullmatch(message, rest), rest  # "." is no line break


def test_two_mistakes_are_told_together(load: Load) -> None:
    with pytest.raises(UserError) as caught:
        load("base.training.batchsize=3", "base.training.total_images=x")
    assert len(str(caught.value).splitlines()) == 2


PLUGIN = '''
from dataclasses import dataclass
from typing import Literal
from curriculum_search.curriculum import FixedPacing

@dataclass(frozen=True, kw_only=True)
class Late(FixedPacing):
    """Everything at once, late."""
    kind: Literal["{kind}"] = "{kind}"
    start_share: float = 0.5
    def fraction(self, progress: float) -> float:
        return float(progress >= self.start_share)
'''


def test_a_pacing_of_ones_own_is_searchable_by_its_kind(load: Load, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(PLUGIN.replace("{kind}", "late_of_loading_test"))
    file = load(
        "base.plugins=[late.py]",
        "space.curriculum.pacing.kind={kind: categorical, choices: [late_of_loading_test, linear]}",
        "space.curriculum.pacing.patience_share=null",
    )
    assert "curriculum.pacing.patience_share" not in file.space.parameters
    experiment = file.trial({"curriculum.pacing.kind": "late_of_loading_test"}).experiment
    assert experiment.curriculum.pacing.to_dict() == {"kind": "late_of_loading_test", "start_share": 0.5}
    assert "late_of_loading_test" in Pacing.kinds()
    assert file.plugins == {"late.py": (tmp_path / "late.py").read_text()}


def test_learned_loss_weights_are_searchable_with_what_they_start_from(load: Load) -> None:
    only = "when: {weighting.kind: uncertainty}"
    file = load(
        "base.weighting={kind: edm, sigma_data: 0.6}",
        "space.weighting.kind={kind: categorical, choices: [none, edm, uncertainty]}",
        f"space.weighting.base.kind={{kind: categorical, choices: [none, min_snr], {only}}}",
        f"space.weighting.learning_rate={{kind: float, low: 1e-3, high: 1e-1, log: true, {only}}}",
    )
    values = {"weighting.kind": "uncertainty", "weighting.base.kind": "min_snr", "weighting.learning_rate": 0.05}
    assert file.trial(values).experiment.weighting == Uncertainty(base=MinSNR(), learning_rate=0.05)
    assert file.trial({"weighting.kind": "none"}).experiment.weighting == NoWeighting()


def test_plain_values_come_back_as_the_same_experiment(load: Load) -> None:
    base = load("base.curriculum.pacing={kind: plateau}", "base.density={kind: beta, a: 2.0, b: 1.0}").base
    assert validated(Experiment, base.to_dict(), "x") == base
