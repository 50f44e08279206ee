import numpy as np
import pytest
import torch
from support.conditions import labels_in, of_classes, shown

from curriculum_search.conditions import (
    ClassCondition,
    Classes,
    Condition,
    Unconditional,
    Unconditioned,
    class_indices,
)

X = torch.zeros(3, 1, 8, 8)


def test_a_class_is_counted_where_it_has_a_name() -> None:
    labels = np.array([1, 0, 1, 1, 2])
    assert Classes(labels, ["cat", "dog", "eel"]).words == "3 classes (1 cat, 3 dog, 1 eel)"
    assert Classes(labels).words == "3 classes (1 to 3 images each)"
    assert Classes(np.arange(11), [str(i) for i in range(11)]).words == "11 classes (1 to 1 images each)"


def test_the_classes_of_images_are_those_at_their_numbers() -> None:
    assert labels_in(Classes(np.array([5, 0, 7])).of(np.array([2, 0, 2]))) == [7, 5, 7]


def test_samples_have_classes_as_often_as_the_set_each_from_its_own_generator() -> None:
    conditions = Classes(np.array([1, 3, 3, 3]))
    drawn = shown(conditions.draw([torch.Generator().manual_seed(i) for i in range(2_000)]))
    assert set(drawn) == {1, 3}
    assert drawn.count(1) == pytest.approx(500, abs=4 * np.sqrt(2_000 * 0.25 * 0.75))
    assert shown(conditions.draw([torch.Generator().manual_seed(i) for i in range(7, 12)])) == drawn[7:12]
    assert conditions.draws("my cats") == "labels as often as in my cats"


def test_labels_that_are_shown_are_the_embeddings_rows_and_hidden_ones_the_null() -> None:
    condition = ClassCondition.of(torch.tensor([3, 1, 2]))
    assert class_indices(condition, X, null=10).tolist() == [3, 1, 2]
    assert class_indices(condition.hide(torch.tensor([False, True, False])), X, null=10).tolist() == [3, 10, 2]


@pytest.mark.parametrize("null", [0, 10])
def test_no_labels_are_null_labels_one_for_each_image_on_its_device(null: int) -> None:
    found = class_indices(Unconditional(), X, null)
    assert (found.tolist(), found.dtype) == ([null] * 3, torch.int64)
    assert class_indices(Unconditional(), X.to("meta"), null).device.type == "meta"


def test_a_condition_of_another_kind_is_no_class() -> None:
    with pytest.raises(TypeError, match="a Condition was given to a network of classes"):
        class_indices(Condition(), X, null=0)


def test_a_reference_may_lack_labels_and_must_not_have_other_ones() -> None:
    ours = Classes(np.arange(3), ["a", "b", "c"])
    for understood in (Unconditioned(), of_classes(2), Classes(np.arange(3), ["a", "b", "c"])):
        ours.check_reference(understood)
    with pytest.raises(ValueError, match="has 4 classes and the training images 3; use_labels: false"):
        ours.check_reference(of_classes(4))
    with pytest.raises(ValueError, match=r"has other classes \(b, c\) than the training images \(a, b, c\)"):
        ours.check_reference(Classes(np.arange(2), ["b", "c"]))
