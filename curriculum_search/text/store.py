"""Captions that were encoded once, in a file that is mapped where it is read."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from curriculum_search.atomic import replacing
from curriculum_search.caches import kept_in
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


def encoded_once(
    captions: Sequence[str],
    encoder: TextEncoder,
    folder: Path | None,
    device: torch.device,
    told: Callable[[int], None] = lambda done: None,
) -> EncodedCaptions:
    """The captions' encodings, from the file in `folder` that was made of these captions by this encoder, or anew.

    A file of other captions or of another encoder has another name; one that is damaged is written again.

    Args:
        captions: to encode.
        encoder: encodes them.
        folder: of such files; None: ``captions`` in what CURRICULUM_SEARCH_CACHE names, or in its default.
        device: on which they are encoded.
        told: hears now and then how many captions are encoded.

    Raises:
        ValueError, FileNotFoundError: the encoder is not there, or gives what is not finite.
    """
    words = {
        "format": _FORMAT,
        "captions": hashlib.sha256(json.dumps(list(captions)).encode()).hexdigest(),
        "count": len(captions),
        "encoder": encoder.identity(),
        "settings": encoder.to_dict(),
    }
    digest = hashlib.sha256(f"{words['captions']} {words['encoder']} {_FORMAT}".encode()).hexdigest()[:16]
    path = kept_in(folder, "captions") / f"captions-{digest}.safetensors"
    if not _is_whole(path, words):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            _write(partial, [*captions, ""], encoder, device, words, told)
    return EncodedCaptions(open_tensors(path))


def _is_whole(path: Path, words: dict[str, Any]) -> bool:
    try:
        known = json.loads(open_tensors(path).metadata[_PROVENANCE])
    except (OSError, ValueError, KeyError):
        return False
    return all(known.get(name) == words[name] for name in ("format", "captions", "encoder"))


def _write(
    path: Path,
    captions: Sequence[str],
    encoder: TextEncoder,
    device: torch.device,
    words: dict[str, Any],
    told: Callable[[int], None],
) -> None:
    loaded = encoder.load(device)
    starts = range(0, len(captions), _LOOKED_AT_AT_ONCE)
    lengths = np.concatenate([loaded.lengths(captions[start : start + _LOOKED_AT_AT_ONCE]) for start in starts])
    ends = np.cumsum(lengths, dtype=np.int64)
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "ends": (np.int64, (len(captions),)),
        "pooled": (np.float32, (len(captions), encoder.pooled_width)),
        "tokens": (np.float16, (int(ends[-1]), encoder.width)),
    }
    arrays = allocate_tensors(path, shapes, {_PROVENANCE: json.dumps(words)})
    arrays["ends"][:] = ends
    order = np.argsort(lengths, kind="stable")  # captions of one length have no padding between them
    for start in range(0, len(order), _AT_ONCE):
        rows = order[start : start + _AT_ONCE]
        found = loaded.encode([captions[row] for row in rows])
        tokens = found.tokens.to("cpu", torch.float16)
        if not bool(torch.isfinite(tokens).all()):
            raise ValueError(f"text encoder: {captions[rows[0]]!r}, or one after it, gives what float16 cannot hold")
        for row, values, here in zip(rows.tolist(), tokens, found.mask.cpu(), strict=True):
            arrays["tokens"][ends[row] - lengths[row] : ends[row]] = values[here].numpy()
        arrays["pooled"][rows] = found.pooled.cpu().numpy()
        told(min(start + _AT_ONCE, len(order)))
    for array in arrays.values():
        array.flush()  # type: ignore[attr-defined]
