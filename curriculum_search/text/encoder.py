"""What a text encoder must offer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from curriculum_search.config import Kinded


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Captions that were encoded together.

    Attributes:
        tokens: float32 [B, T, width], one vector for each token.
        mask: bool [B, T]: which of them are there; the others fill up the shorter captions.
        pooled: float32 [B, pooled_width], one vector for each caption.
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor


class LoadedTextEncoder(ABC):
    """A text encoder at work on one device."""

    @abstractmethod
    def lengths(self, captions: Sequence[str]) -> list[int]:
        """The number of tokens of each caption, what is cut off not counted."""

    @abstractmethod
    def encode(self, captions: Sequence[str]) -> Encoded:
        """Encode some captions together, on the device; the empty one is a caption like others."""


class TextEncoder(Kinded):
    """What a network sees of a caption."""

    @property
    @abstractmethod
    def width(self) -> int:
        """The width of a token's vector, known without the weights.

        Raises:
            ValueError, FileNotFoundError: see `check`.
        """

    @property
    @abstractmethod
    def pooled_width(self) -> int:
        """The width of a caption's vector, likewise."""

    @abstractmethod
    def identity(self) -> str:
        """Changes when the encodings do: what names the files in which they are kept.

        Raises:
            ValueError, FileNotFoundError: see `check`.
        """

    @abstractmethod
    def check(self) -> None:
        """Quickly find what would make `load` fail.

        Raises:
            ValueError, FileNotFoundError: it is not there, or not what it should be.
        """

    @abstractmethod
    def load(self, device: torch.device) -> LoadedTextEncoder:
        """The encoder at work on `device`.

        Raises:
            ValueError, FileNotFoundError: see `check`.
        """
