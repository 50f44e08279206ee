"""Class labels, the condition of class-conditional models."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from curriculum_search.conditions.base import Condition, Conditions, Indices, Unconditional, Unconditioned

_MAX_COUNTED = 10  # classes that are counted one by one


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassCondition(Condition):
    """The classes of a batch.

    Attributes:
        labels: int64 [B].
        hidden: bool [B], see `Condition`.
    """

    labels: Tensor
    hidden: Tensor

    @classmethod
    def of(cls, labels: Tensor) -> "ClassCondition":
        """`labels`, int64 [B], none of which is hidden."""
        return cls(labels=labels, hidden=torch.zeros_like(labels, dtype=torch.bool))


class Classes(Conditions):
    """The classes of a set of images.

    Args:
        labels: int64 [N], from 0 on.
        names: of the classes, where they have some.
    """

    def __init__(self, labels: Indices, names: Sequence[str] = ()) -> None:
        self.labels = labels
        self.names = tuple(names)
        self.num_classes = int(labels.max()) + 1

    @property
    def words(self) -> str:
        counts = np.bincount(self.labels)
        if self.names and len(counts) <= _MAX_COUNTED:
            each = ", ".join(f"{count:,} {name}" for name, count in zip(self.names, counts.tolist(), strict=True))
        else:
            each = f"{counts.min():,} to {counts.max():,} images each"
        return f"{len(counts):,} {'class' if len(counts) == 1 else 'classes'} ({each})"

    def of(self, indices: Indices) -> ClassCondition:
        return ClassCondition.of(torch.from_numpy(self.labels[indices]))

    def draw(self, generators: Sequence[torch.Generator]) -> ClassCondition:
        uniforms = [float(torch.rand((), generator=g, dtype=torch.float64)) for g in generators]
        return ClassCondition.of(torch.from_numpy(np.searchsorted(self._cumulative, uniforms, side="right")))

    def draws(self, name: str) -> str:
        return f"labels as often as in {name}"

    def check_reference(self, reference: Conditions) -> None:
        if isinstance(reference, Unconditioned):
            return
        if not isinstance(reference, Classes):
            raise ValueError(f"has {reference.words} and the training images {self.words}")
        if reference.num_classes > self.num_classes:
            raise ValueError(
                f"has {reference.num_classes} classes and the training images {self.num_classes}; "
                "use_labels: false takes them from both"
            )
        if self.names and reference.names and self.names != reference.names:
            ours, theirs = (", ".join(classes.names[:4]) for classes in (self, reference))
            raise ValueError(f"has other classes ({theirs}) than the training images ({ours})")

    @cached_property
    def _cumulative(self) -> np.ndarray:
        """The share of the images in each class and those before it."""
        return np.bincount(self.labels, minlength=self.num_classes).cumsum() / len(self.labels)


def class_indices(condition: Condition, x: Tensor, null: int) -> Tensor:
    """Rows of an embedding of classes for the batch `x`, int64 [B]: the labels, and `null` where there is none to see.

    Raises:
        TypeError: the condition is of another kind.
    """
    if isinstance(condition, Unconditional):
        return torch.full((len(x),), null, device=x.device, dtype=torch.int64)
    if not isinstance(condition, ClassCondition):
        raise TypeError(f"a {type(condition).__name__} was given to a network of classes")
    return torch.where(condition.hidden, null, condition.labels)
