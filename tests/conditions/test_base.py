"""What every kind of condition has, and a new kind that lives in one file."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support.conditions import labels_in, of_classes, shown
from support.pages import ROOT, blocks, write_files

from curriculum_search.conditions import ClassCondition, Condition, Conditions, Unconditional, Unconditioned
from curriculum_search.models import Model

LABELS = torch.tensor([3, 1, 2])


def test_rows_are_taken_by_slices_and_by_indices() -> None:
    condition = ClassCondition.of(LABELS)
    assert labels_in(condition[1:]) == [1, 2]
    assert labels_in(condition[torch.tensor([2, 2, 0])]) == [2, 2, 3]
    assert isinstance(Unconditional()[1:], Unconditional)


def test_what_is_hidden_stays_hidden_and_the_rest_is_shown() -> None:
    condition = ClassCondition.of(LABELS).hide(torch.tensor([True, False, False]))
    assert shown(condition.hide(torch.tensor([False, False, True]))) == [None, 1, None]
    assert shown(condition) == [None, 1, 2]


def test_a_doubled_batch_is_the_condition_and_then_nothing() -> None:
    assert shown(ClassCondition.of(LABELS).with_dropped()) == [3, 1, 2, None, None, None]


def test_tensors_of_all_fields_move_together() -> None:
    moved = ClassCondition.of(LABELS).to(torch.device("meta"))
    assert [values.device.type for values in moved.tensors()] == ["meta", "meta"]
    assert Unconditional().tensors() == ()


def test_nothing_to_see_cannot_be_dropped_and_needs_no_numbers() -> None:
    none = Unconditioned()
    assert not none.can_be_dropped
    assert none.draws("digits") == "unconditional"
    assert isinstance(none.of(np.arange(3)), Unconditional)
    assert isinstance(none.draw([torch.Generator()]).hide(torch.tensor([True])), Unconditional)
    with pytest.raises(ValueError, match="guidance_scale must be 1: a condition of kind Unconditional cannot"):
        Unconditional().with_dropped()


def test_a_reference_of_classes_means_nothing_to_an_unconditional_network() -> None:
    Unconditioned().check_reference(Unconditioned())
    with pytest.raises(ValueError, match=r"has 3 classes .* and the training images no labels; use_labels: false"):
        Unconditioned().check_reference(of_classes(3))


def test_the_kind_of_ones_own_in_the_documentation_is_trained_guided_and_evaluated(tmp_path: Path) -> None:
    page = ROOT / "docs" / "how-to" / "latents.md"
    write_files(page, tmp_path)
    (study,) = (block.text for block in blocks(page) if "segmentation.py" in block.text and block.language == "yaml")
    (tmp_path / "study.yaml").write_text(study)
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "segmented digits: 1,797 grey images of 8x8 pixels; segmentation maps" in done.stdout


#: Kinds are known to a whole process, so those of one's own are defined in one of theirs.
PROGRAM = """
from pathlib import Path
import torch
from curriculum_search.loading import load_experiment
from curriculum_search.training import PlainSession, train
overrides = {
    "training.total_images": 128, "training.batch_size": 32, "training.num_evaluations": 1,
    "training.horizontal_flip": True, "training.label_dropout": 0.5,
    "model.hidden_size": 16, "model.num_heads": 2, "evaluation.grid_images": 3,
}
experiment, _ = load_experiment(Path("study.yaml"), overrides)
experiment.check()
print(experiment.data.summary())
seen = []
def look(module, arguments):
    if type(module).__name__ == "WithMap":
        seen.append(arguments[2])
torch.nn.modules.module.register_module_forward_pre_hook(look)
result = train(experiment, PlainSession(run_dir=Path.cwd()), Path.cwd() / "cache")
assert 0 < result.metrics["val_loss"] < 10, result
hidden = torch.cat([condition.hidden for condition in seen if len(condition.hidden) == 32])
assert 0 < int(hidden.sum()) < len(hidden) == 128
assert seen[-1].hidden.tolist() == [False] * 3 + [True] * 3
"""


class Sounds(Conditions):
    """A kind that no model here knows."""

    words = "sounds"

    def of(self, indices: np.ndarray) -> Condition:
        return Condition()

    def draw(self, generators: Sequence[torch.Generator]) -> Condition:
        return Condition()

    def draws(self, name: str) -> str:
        return f"sounds of {name}"

    def check_reference(self, reference: Conditions) -> None:
        pass


@pytest.mark.parametrize("kind", ["dit", "unet"])
def test_models_of_classes_refuse_another_kind(kind: str) -> None:
    model = Model.from_dict({"kind": kind})
    with pytest.raises(ValueError, match=f"model kind {kind} is conditioned on classes or on nothing, and"):
        model.build(channels=1, out_channels=1, resolution=8, conditions=Sounds())
    with pytest.raises(ValueError, match="has sounds and the training images 3 classes"):
        of_classes(3).check_reference(Sounds())
