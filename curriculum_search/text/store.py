"""Captions that were encoded once, in a file that is mapped where it is read."""

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from curriculum_search.atomic import replacing
from curriculum_search.caches import kept_in
from curriculum_search.lock import locked
from curriculum_search.tensor_file import TensorFile, allocate_tensors, open_tensors
from curriculum_search.text.encoder import TextEncoder

_FORMAT = 1
_PROVENANCE = "captions"
_AT_ONCE = 128  # captions that go through the encoder together
_LOOKED_AT_AT_ONCE = 4096  # captions whose tokens are counted together


class EncodedCaptions:
    """Captions as their encoder has them, and after the last of them the empty one, in one file.

    Attributes:
        num_tokens: of the longest.
    """

    def __init__(self, file: TensorFile) -> None:
        self._tokens, self._pooled, self._ends = (file.arrays[name] for name in ("tokens", "pooled", "ends"))
        self.num_tokens = int(np.diff(self._ends, prepend=0).max())

    def __len__(self) -> int:
        """The number of captions, without the empty one."""
        return len(self._ends) - 1

    def read(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float16], NDArray[np.bool_], NDArray[np.float32]]:
        """Tokens [B, num_tokens, width], which of them are there [B, num_tokens], and pooled [B, pooled_width].

        Args:
            rows: int64 [B], of captions; -1 is the empty one.
        """
        rows = rows % len(self._ends)
        ends = self._ends[rows]
        starts = np.where(rows > 0, self._ends[rows - 1], 0)
        tokens = np.zeros((len(rows), self.num_tokens, self._tokens.shape[1]), np.float16)
        mask = np.arange(self.num_tokens) < (ends - starts)[:, None]
        for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            tokens[row, : end - start] = self._tokens[start:end]
        return tokens, mask, self._pooled[rows]


class CaptionFile:
    """The file in which some captions, and after them the empty one, are encoded, or will be by whoever reads it first.

    Its name says which captions are in it and which encoder they went through: others have a file of their own.  Of
    several processes that want it at once one encodes, and the others wait.

    Args:
        captions: to encode.
        encoder: encodes them.
        folder: of such files; None: ``captions`` in what CURRICULUM_SEARCH_CACHE names, or in its default.

    Raises:
        ValueError, FileNotFoundError: the encoder is not there.
    """

    def __init__(self, captions: Sequence[str], encoder: TextEncoder, folder: Path | None) -> None:
        self._captions, self._encoder = captions, encoder
        self._words = {
            "format": _FORMAT,
            "captions": hashlib.sha256(json.dumps(list(captions)).encode()).hexdigest(),
            "count": len(captions),
            "encoder": encoder.identity(),
            "settings": encoder.to_dict(),
        }
        digest = hashlib.sha256(f"{self._words['captions']} {self._words['encoder']} {_FORMAT}".encode()).hexdigest()
        self._path = kept_in(folder, "captions") / f"captions-{digest[:16]}.safetensors"
        self._under_way = self._path.with_suffix(".encoding")  # there while, and in it how many captions by now

    def done(self) -> int | None:
        """How many captions a process, be it another one, has encoded so far; None: none is at it."""
        try:
            return int(self._under_way.read_text())
        except (OSError, ValueError):
            return None

    def read(self, device: torch.device) -> EncodedCaptions:
        """The encodings, which are made on `device` if they are not there, or the file is damaged.

        Raises:
            ValueError, FileNotFoundError: the encoder is not there, or gives what is not finite.
        """
        if not self._is_whole():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self._under_way, seconds=math.inf):  # Where there are no locks, each encodes for itself.
                if not self._is_whole():
                    with replacing(self._path) as partial:
                        self._write(partial, [*self._captions, ""], device)
                self._under_way.unlink(missing_ok=True)  # Whoever has waited for it finds the captions.
        return EncodedCaptions(open_tensors(self._path))

    def _is_whole(self) -> bool:
        try:
            known = json.loads(open_tensors(self._path).metadata[_PROVENANCE])
        except (OSError, ValueError, KeyError):
            return False
        return all(known.get(name) == self._words[name] for name in ("format", "captions", "encoder"))

    def _write(self, path: Path, captions: Sequence[str], device: torch.device) -> None:
        loaded = self._encoder.load(device)
        starts = range(0, len(captions), _LOOKED_AT_AT_ONCE)
        lengths = np.concatenate([loaded.lengths(captions[start : start + _LOOKED_AT_AT_ONCE]) for start in starts])
        ends = np.cumsum(lengths, dtype=np.int64)
        shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
            "ends": (np.int64, (len(captions),)),
            "pooled": (np.float32, (len(captions), self._encoder.pooled_width)),
            "tokens": (np.float16, (int(ends[-1]), self._encoder.width)),
        }
        arrays = allocate_tensors(path, shapes, {_PROVENANCE: json.dumps(self._words)})
        arrays["ends"][:] = ends
        order = np.argsort(lengths, kind="stable")  # captions of one length have no padding between them
        for start in range(0, len(order), _AT_ONCE):
            rows = order[start : start + _AT_ONCE]
            found = loaded.encode([captions[row] for row in rows])
            tokens = found.tokens.to("cpu", torch.float16)
            if not bool(torch.isfinite(tokens).all()):
                raise ValueError(
                    f"text encoder: {captions[rows[0]]!r}, or one after it, gives what float16 cannot hold"
                )
            for row, values, here in zip(rows.tolist(), tokens, found.mask.cpu(), strict=True):
                arrays["tokens"][ends[row] - lengths[row] : ends[row]] = values[here].numpy()
            arrays["pooled"][rows] = found.pooled.cpu().numpy()
            self._under_way.write_text(str(min(start + _AT_ONCE, len(order))))
        for array in arrays.values():
            array.flush()  # type: ignore[attr-defined]
