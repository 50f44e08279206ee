"""Captions, the condition of text-to-image models."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curriculum_search.conditions.base import Condition, Conditions, Indices
from curriculum_search.text import CaptionFile, EncodedCaptions, TextEncoder

_NO_ROW = -2  # of a prompt, which is none of the captions


@dataclass(frozen=True, kw_only=True, eq=False)
class TextCondition(Condition):
    """The captions of a batch, encoded.

    Attributes:
        tokens: float16 [B, T, width], one vector for each token.
        mask: bool [B, T]: which of them are there.
        pooled: float32 [B, pooled_width], one vector for each caption.
        rows: int64 [B]: which captions of their set they are.
        hidden: bool [B], see `Condition`.
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor
    rows: Tensor
    hidden: Tensor


class Captions(Conditions):
    """The captions of a set of images, some for each.

    Args:
        captions: of each image, in the set's order.
        encoder: makes numbers of them, once, when they are first read (see `CaptionFile`).
        folder: where these are kept; None: the cache.
    """

    fixed = False

    def __init__(self, captions: Sequence[Sequence[str]], encoder: TextEncoder, folder: Path | None = None) -> None:
        self.texts = tuple(text for some in captions for text in some)
        self.encoder = encoder
        self._ends = np.cumsum([len(some) for some in captions], dtype=np.int64)
        self._counts = np.diff(self._ends, prepend=0)
        self._folder = folder

    @property
    def words(self) -> str:
        fewest, most = int(self._counts.min()), int(self._counts.max())
        each = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        return f"{len(self.texts):,} captions ({each} an image, {getattr(self.encoder, 'kind', '')} encoder)"

    @cached_property
    def digest(self) -> str:
        """Changes when the captions, or their shares among the images, do."""
        return hashlib.sha256(json.dumps([self.texts, self._ends.tolist()]).encode()).hexdigest()[:16]

    @property
    def null(self) -> TextCondition:
        """The empty caption, [1, ...], in place of which nothing is seen.

        It is encoded alone, on the CPU, so that a check, which builds a network, waits for no other.
        """
        with torch.device("cpu"):  # whatever device a network is being built on
            return _shown(CaptionFile((), self.encoder, self._folder).read(torch.device("cpu")), np.array([-1]))

    def prepare(self) -> None:
        """See `Conditions.prepare`: they are encoded, or waited for."""
        _ = self._encoded

    @property
    def encoding(self) -> tuple[int, int] | None:
        """See `Conditions.encoding`."""
        done = self._file.done()
        return None if done is None else (done, len(self.texts))

    @property
    def counts(self) -> Indices:
        """How many captions each image has, int64 [images]; they follow each other in `texts`."""
        return self._counts

    @property
    def images(self) -> Indices:
        """The image of each caption, int64 [captions]."""
        return np.repeat(np.arange(len(self._counts)), self._counts)

    def of(self, indices: Indices) -> TextCondition:
        """See `Conditions.of`: each image's first caption."""
        return self._read(self._ends[indices] - self._counts[indices])

    def drawn(self, indices: Indices, draws: NDArray[np.uint64]) -> TextCondition:
        return self._read(self.rows_drawn(indices, draws))

    def rows_drawn(self, indices: Indices, draws: NDArray[np.uint64]) -> Indices:
        """Which of all captions `drawn` takes, int64 [B]."""
        counts = self._counts[indices]
        return self._ends[indices] - counts + (draws % counts.astype(np.uint64)).astype(np.int64)

    def draw(self, generators: Sequence[torch.Generator]) -> TextCondition:
        uniforms = [float(torch.rand((), generator=g, dtype=torch.float64)) for g in generators]
        return self._read((np.array(uniforms) * len(self.texts)).astype(np.int64))

    def draws(self, name: str) -> str:
        return f"captions of {name}, each as often"

    def for_samples(self, reference: Conditions) -> Conditions:
        return reference

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Any text is understood."""

    def prompted(self, prompts: Sequence[str]) -> TextCondition:
        loaded = self.encoder.load(torch.device("cpu"))
        found = loaded.encode(prompts)
        rows = torch.full((len(prompts),), _NO_ROW, device="cpu")
        return _condition(found.tokens.to(torch.float16), found.mask, found.pooled, rows)

    def titles(self, condition: Condition) -> tuple[str, ...]:
        assert isinstance(condition, TextCondition)
        return tuple(self.texts[row] for row in condition.rows.tolist())

    def check_reference(self, reference: Conditions) -> None:
        if not isinstance(reference, Captions):
            raise ValueError(f"has {reference.words} and the training images captions; give captions for both")
        if reference.encoder != self.encoder:
            raise ValueError("has captions of another text encoder than the training images")

    @cached_property
    def _file(self) -> CaptionFile:
        return CaptionFile(self.texts, self.encoder, self._folder)

    @cached_property
    def _encoded(self) -> EncodedCaptions:
        return self._file.read(torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    def _read(self, rows: Indices) -> TextCondition:
        return _shown(self._encoded, rows)


def _shown(encoded: EncodedCaptions, rows: Indices) -> TextCondition:
    tokens, mask, pooled = (torch.from_numpy(values) for values in encoded.read(rows))
    return _condition(tokens, mask, pooled, torch.from_numpy(rows))


def _condition(tokens: Tensor, mask: Tensor, pooled: Tensor, rows: Tensor) -> TextCondition:
    hidden = torch.zeros(len(rows), dtype=torch.bool, device="cpu")
    return TextCondition(tokens=tokens, mask=mask, pooled=pooled, rows=rows, hidden=hidden)
