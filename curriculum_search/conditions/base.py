"""The condition of a batch and the conditions of a whole set of images, whatever their kind; and none at all.

A new kind is a `Condition`, whose fields are the tensors that a network reads, and a `Conditions`, which says what each
image of a set is conditioned on.  A data source's image set gives the latter (`ImageSet.conditions`), and a model reads
the former in its forward.  Nothing else has to know of it.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """What the images of a batch are conditioned on: a dataclass whose fields are tensors [B, ...].

    A kind that can be dropped, for classifier-free guidance, has a field ``hidden``, bool [B], true where a network is
    to see its null in place of what is there; what that null is, the network knows.
    """

    def __getitem__(self, rows: slice | Tensor) -> Self:
        """The condition of some images of the batch (a slice, or int64 indices on its device)."""
        return self._each(lambda values: values[rows])

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Self:
        """The condition on `device`."""
        return self._each(lambda values: values.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """The condition in memory from which a GPU copies while the CPU goes on."""
        return self._each(lambda values: values.pin_memory())

    def hide(self, rows: Tensor) -> Self:
        """Dropped also where `rows`, bool [B] or [], is true; a kind that cannot be dropped stays as it is."""
        fields = {name: getattr(self, name) for name in self._names()}
        return type(self)(**{**fields, "hidden": fields["hidden"] | rows}) if "hidden" in fields else self

    def mirror(self, rows: Tensor) -> Self:
        """What belongs to the images once those where `rows`, bool [B], is true are mirrored left to right.

        Itself; a kind that lies in the image's plane overrides it.
        """
        return self

    def with_dropped(self) -> Self:
        """The condition of a batch twice as large: as it is, and once more with every image's dropped (for guidance).

        Raises:
            ValueError: a condition of this kind cannot be dropped.
        """
        if "hidden" not in self._names():
            raise ValueError(f"guidance_scale must be 1: a condition of kind {type(self).__name__} cannot be dropped")
        dropped = self.hide(torch.ones((), dtype=torch.bool))
        pairs = {name: (getattr(self, name), getattr(dropped, name)) for name in self._names()}
        return type(self)(**{name: torch.cat(pair) for name, pair in pairs.items()})

    def tensors(self) -> tuple[Tensor, ...]:
        """All that it is made of."""
        return tuple(getattr(self, name) for name in self._names())

    def _names(self) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(self))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(**{name: change(getattr(self, name)) for name in self._names()})


@dataclass(frozen=True, kw_only=True, eq=False)
class Unconditional(Condition):
    """The condition of images that have none, and of a network that is to see its null for all of them."""


class Conditions(ABC):
    """What each image of a set is conditioned on.

    Attributes:
        fixed: whether each image is conditioned on one thing, and not on another whenever it is seen (see `drawn`).
    """

    fixed: ClassVar[bool] = True

    @property
    @abstractmethod
    def words(self) -> str:
        """What there is, with counts, for the line that sums up a set of images."""

    @abstractmethod
    def of(self, indices: Indices) -> Condition:
        """The condition of the images at `indices` (int64 [B]), on the CPU."""

    def drawn(self, indices: Indices, draws: NDArray[np.uint64]) -> Condition:
        """The condition of the images at `indices` in a step of the training, where one may have several.

        Args:
            indices: int64 [B].
            draws: uint64 [B], random numbers that belong to the seed and the images seen.
        """
        return self.of(indices)

    @abstractmethod
    def draw(self, generators: Sequence[torch.Generator]) -> Condition:
        """Conditions for samples, as often as in the set, on the CPU: sample i's from the i-th generator alone."""

    @abstractmethod
    def draws(self, name: str) -> str:
        """What `draw` does, in words for a protocol, where the set is called `name`."""

    @abstractmethod
    def check_reference(self, reference: "Conditions") -> None:
        """Whether a network that is trained on these conditions understands the reference's.

        Raises:
            ValueError: it does not; what is said goes on from "the reference ".
        """

    def for_samples(self, reference: "Conditions") -> "Conditions":
        """The conditions that samples draw from: these, or those of the `reference` that they are compared with."""
        return self

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Whether a network that is trained on these conditions understands prompts of the user's own.

        Raises:
            ValueError: it does not.
        """
        raise ValueError(f"prompts must be null: the data have {self.words}, and prompts need captions")

    def prompted(self, prompts: Sequence[str]) -> Condition:
        """The condition of samples of the user's own prompts, on the CPU, where `check_prompts` has found nothing."""
        raise NotImplementedError

    def prepare(self) -> None:  # noqa: B027
        """Do, before a run's clock begins, what would hold up the first that is read; by default nothing."""

    @property
    def encoding(self) -> tuple[int, int] | None:
        """How many of the conditions a process, be it another one, has encoded by now, and how many there are; None:
        none is at it."""
        return None

    def titles(self, condition: Condition) -> tuple[str, ...]:
        """What stands below images of a condition that was drawn from these; nothing by default."""
        return ()

    @property
    def can_be_dropped(self) -> bool:
        """Whether classifier-free guidance is possible."""
        return True


class Unconditioned(Conditions):
    """The conditions of a set without any."""

    words = "no labels"
    can_be_dropped = False

    def of(self, indices: Indices) -> Unconditional:
        return Unconditional()

    def draw(self, generators: Sequence[torch.Generator]) -> Unconditional:
        return Unconditional()

    def draws(self, name: str) -> str:
        return "unconditional"

    def check_reference(self, reference: Conditions) -> None:
        if not isinstance(reference, Unconditioned):
            raise ValueError(
                f"has {reference.words} and the training images no labels; use_labels: false takes them from both"
            )
