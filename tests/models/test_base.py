import pytest
import torch

from curriculum_search.models import Model
from curriculum_search.models.base import label_indices


def test_every_kind_is_registered() -> None:
    assert set(Model.kinds()) == {"dit", "unet"}


@pytest.mark.parametrize("kind", sorted(Model.kinds()))
def test_every_kind_comes_back_from_its_own_configuration(kind: str) -> None:
    model = Model.from_dict({"kind": kind})
    assert type(model) is Model.kinds()[kind]
    assert Model.from_dict(model.to_dict()) == model


def test_an_unknown_kind_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="kind 'mlp' is not one of dit, unet"):
        Model.from_dict({"kind": "mlp"})


def test_labels_that_are_given_stay_as_they_are() -> None:
    labels = torch.tensor([3, 1])
    assert label_indices(labels, torch.zeros(2, 1, 8, 8), num_classes=10) is labels


@pytest.mark.parametrize("num_classes", [0, 10])
def test_no_labels_are_null_labels_one_for_each_image_on_its_device(num_classes: int) -> None:
    found = label_indices(None, torch.zeros(3, 1, 8, 8), num_classes)
    assert (found.tolist(), found.dtype) == ([num_classes] * 3, torch.int64)
    assert label_indices(None, torch.zeros(3, 1, 8, 8, device="meta"), num_classes).device.type == "meta"
