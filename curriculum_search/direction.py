"""Whether less or more of a metric is better: the one place that knows."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Direction(StrEnum):
    """The direction in which a metric is better, in Optuna's words."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    @property
    def sign(self) -> int:
        """What makes a value, or a difference, larger where it is better: 1 if more of it is better, else -1."""
        return 1 if self is Direction.MAXIMIZE else -1

    @property
    def better(self) -> str:
        """The better side in words: "lower" or "higher"."""
        return "higher" if self is Direction.MAXIMIZE else "lower"

    def best(self, items: Iterable[T], value: Callable[[T], float]) -> T:
        """The item with the best value, the first of equals.

        Raises:
            ValueError: there is none.
        """
        return max(items, key=lambda item: self.sign * value(item))

    def ranked(self, items: Iterable[T], value: Callable[[T], float]) -> list[T]:
        """The items from the best value to the worst, equals in the order in which they came."""
        return sorted(items, key=lambda item: -self.sign * value(item))
