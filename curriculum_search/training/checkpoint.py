"""Checkpoints: the last two of a run, of which the older takes over where the newer is damaged.

A checkpoint is what `torch.save` writes and, behind it, a seal of 16 bytes with the CRC-32 of all that, which
`torch.load` reads past.  It is computed as the file is written, at about 0.4 s a gigabyte.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from curriculum_search.atomic import is_whole_zip, replacing, set_aside
from curriculum_search.models import what_it_is

FORMAT = 1
CHECKPOINT = "checkpoint.pt"  #: the last one of a run, in its folder

_SEAL = re.compile(rb"\ncrc32:([0-9a-f]{8})\n")
_SEAL_BYTES = 16
_HEAD_BYTES = 512
_CHUNK_BYTES = 2**20


class DamagedError(ValueError):
    """A checkpoint is not as it was written."""


def before(path: Path) -> Path:
    """Where the checkpoint lies that was at `path` before the present one."""
    return path.with_name(f"{path.stem}.before{path.suffix}")


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, and lists and dictionaries of them) to `path`, atomically.

    What was there is kept as `before`; a kill between the two moves leaves that one alone.

    Raises:
        DiskFullError: there is no room; `path` is as it was.
    """
    with replacing(path, _num_bytes(state), former=before(path)) as partial, partial.open("wb") as file:
        sealing = _Sealing(file)
        try:
            torch.save({"format": FORMAT, **state}, cast(BinaryIO, sealing))
        except RuntimeError:  # what PyTorch makes of a write that fails
            if sealing.error is not None:
                raise sealing.error from None
            raise
        file.write(b"\ncrc32:%08x\n" % sealing.crc)


def check(path: Path) -> None:
    """Find out, by reading all of it, whether a checkpoint is as it was written; one without a seal, of an earlier
    version, by the checksums that `torch.save` gives each tensor.

    Raises:
        DamagedError: it is not, or is no checkpoint at all.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    if not size:
        raise DamagedError(f"{path} is not a readable checkpoint: it is empty")
    with path.open("rb") as file:
        file.seek(max(size - _SEAL_BYTES, 0))
        seal = _SEAL.fullmatch(file.read())
        if seal is not None:
            file.seek(0)
            crc, left = 0, size - _SEAL_BYTES
            while chunk := file.read(min(left, _CHUNK_BYTES)):
                crc, left = zlib.crc32(chunk, crc), left - len(chunk)
            if crc != int(seal[1], 16):
                raise DamagedError(f"{path} is not a readable checkpoint: its content is not what its checksum says")
    if seal is None and not is_whole_zip(path):
        with path.open("rb") as file:
            is_cut = file.read(2) == b"PK"  # as what `torch.save` writes begins
        raise DamagedError(
            f"{path} is not a readable checkpoint: "
            + ("it was cut off or changed" if is_cut else f"it is {what_it_is(path)}")
        )


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint; nothing in the file is executed.

    Raises:
        DamagedError: it is not as it was written, or is no checkpoint at all.
        ValueError: it cannot be read, or is not a checkpoint of this project.
    """
    try:
        check(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception:  # The file is whole, so it is another's; PyTorch's words would be advice to run what it holds.
        raise ValueError(f"{path} is not a checkpoint of this project: it is {what_it_is(path)}") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of this version (format {FORMAT})")
    return state


def load_last(path: Path, *, sets_aside: bool) -> tuple[dict[str, Any] | None, str]:
    """The checkpoint at `path`, or the one before it where that is damaged or gone.

    Args:
        path: of the last one.
        sets_aside: whether damaged ones are renamed, which is one worker's business.

    Returns:
        It, or None if there is none, and what there is to say of damaged ones.

    Raises:
        ValueError: it cannot be read, or is not a checkpoint of this project.
    """
    damages = []
    for candidate in (path, before(path)):
        if candidate.exists():
            try:
                state = load(candidate)
            except DamagedError as error:
                damages.append(f"{error}; it is now {set_aside(candidate).name}" if sets_aside else str(error))
            else:
                return state, fallback(damages, state["images"])
    return None, fallback(damages, 0)


def fallback(damages: Sequence[str], images: int) -> str:
    """What to say of a run that goes on at `images` images because of damaged checkpoints; nothing if none are."""
    again = f"the run goes on from the one before, at {images:,} images" if images else "the run begins again"
    return f"{'; '.join(damages)}, and {again}" if damages else ""


class _Sealing:
    """A file for `torch.save`, which writes from the beginning to the end: keeps the checksum, and what went wrong."""

    def __init__(self, file: BinaryIO) -> None:
        self.crc = 0
        self.error: OSError | None = None
        self._file = file

    def write(self, data: memoryview) -> int:
        try:
            written = self._file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.crc = zlib.crc32(data, self.crc)
        return written

    def flush(self) -> None:
        self._file.flush()


def _num_bytes(state: Any) -> int:
    """About what a state takes in a file: its tensors, each with a head."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size() + _HEAD_BYTES
    if isinstance(state, Mapping):
        return sum(map(_num_bytes, state.values()))
    return sum(map(_num_bytes, state)) if isinstance(state, list | tuple) else 0
