"""Conditions of classes, and what is in one."""

import numpy as np

from curriculum_search.conditions import ClassCondition, Classes, Condition, Conditions, Unconditional, Unconditioned


def of_classes(num_classes: int) -> Conditions:
    """What a model of so many classes is built for; 0: an unconditional one."""
    return Classes(np.arange(num_classes)) if num_classes else Unconditioned()


def shown(condition: Condition) -> list[int | None]:
    """The labels that a network is shown, None where one is hidden."""
    assert isinstance(condition, ClassCondition)
    return [
        None if hidden else label
        for label, hidden in zip(condition.labels.tolist(), condition.hidden.tolist(), strict=True)
    ]


def labels_in(condition: Condition) -> list[int] | None:
    """The labels of images as they were read; None where there are none."""
    if isinstance(condition, Unconditional):
        return None
    assert isinstance(condition, ClassCondition)
    assert not condition.hidden.any()
    return condition.labels.tolist()
