"""Checkpoints: the last two of a run, of which the older takes over where the newer is damaged.

A checkpoint is what `torch.save` writes and, behind it, a seal of 16 bytes with the CRC-32 of all that, which
`torch.load` reads past.  It is computed as the file is written, at about 0.4 s a gigabyte.

That of a sharded run is the same without the tensors that are shared out.  Of these each worker has written its rows
to a file of the same kind beside it: a part.  The parts are there before the checkpoint is, which names their number.
"""

import glob
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from curriculum_search.atomic import is_whole_zip, replacing, set_aside
from curriculum_search.models import what_it_is
from curriculum_search.training.pieces import merged, whole

FORMAT = 1
CHECKPOINT = "checkpoint.pt"  #: the last one of a run, in its folder

#: What is in parts where a run is sharded.
SHARED = ("network", "ema", "optimizer")

_BEFORE = ".before"
_PART = re.compile(r"\.(\d+)\.part-\d+-of-\d+\.")
_SEAL = re.compile(rb"\ncrc32:([0-9a-f]{8})\n")
_SEAL_BYTES = 16
_HEAD_BYTES = 512
_CHUNK_BYTES = 2**20


class DamagedError(ValueError):
    """A checkpoint is not as it was written."""


def before(path: Path) -> Path:
    """Where the checkpoint lies that was at `path` before the present one."""
    return path.with_name(f"{path.stem}{_BEFORE}{path.suffix}")


def part(path: Path, number: int, rank: int, count: int) -> Path:
    """Where one of `count` workers writes what it alone has for the run's `number`-th checkpoint, which is at `path` or
    `before` it."""
    return path.with_name(f"{path.stem.removesuffix(_BEFORE)}.{number}.part-{rank}-of-{count}{path.suffix}")


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, and lists and dictionaries of them) to `path`, atomically.

    What was there is kept as `before`; a kill between the two moves leaves that one alone.  Parts that neither of them
    needs any more are removed.

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
    if "saves" in state:
        remove_parts(path, state["saves"] - 1)


def check(path: Path) -> None:
    """Find out, by reading all of it, whether a checkpoint is as it was written; one without a seal, of an earlier
    version, by the checksums that `torch.save` gives each tensor.

    Raises:
        DamagedError: it is not, or is no checkpoint at all.
        OSError: it cannot be read.
    """
    if damage := _damage(path):
        raise DamagedError(f"{path} is not a readable checkpoint: {damage}")


def _damage(path: Path) -> str:
    """What is wrong with a checkpoint or a part of one; nothing if it is as it was written."""
    size = path.stat().st_size
    if not size:
        return "it is empty"
    with path.open("rb") as file:
        file.seek(max(size - _SEAL_BYTES, 0))
        seal = _SEAL.fullmatch(file.read())
        if seal is not None:
            file.seek(0)
            crc, left = 0, size - _SEAL_BYTES
            while chunk := file.read(min(left, _CHUNK_BYTES)):
                crc, left = zlib.crc32(chunk, crc), left - len(chunk)
            return "" if crc == int(seal[1], 16) else "its content is not what its checksum says"
    if not is_whole_zip(path):
        with path.open("rb") as file:
            is_cut = file.read(2) == b"PK"  # as what `torch.save` writes begins
        return "it was cut off or changed" if is_cut else f"it is {what_it_is(path)}"
    return ""


def load(path: Path, device: torch.device | str = "cpu", *, only: Collection[str] = ()) -> dict[str, Any]:
    """Read a checkpoint, whole, whoever wrote it; nothing in the file is executed.

    Args:
        path: of it.
        device: where tensors go.
        only: what is wanted of the state; nothing: all of it.  Parts that hold none of it are not read.

    Raises:
        DamagedError: it is not as it was written, or is no checkpoint at all.
        ValueError: it cannot be read, or is not a checkpoint of this project.
    """
    state = with_parts(path, head(path, device, only=only), only=only)
    return whole({key: value for key, value in state.items() if not only or key in only}, device)


def head(
    path: Path,
    device: torch.device | str = "cpu",
    *,
    mapped: bool = False,
    only: Collection[str] = (),
    worker: tuple[int, int] = (0, 1),
) -> dict[str, Any]:
    """What is in the file of a checkpoint, once that and its parts have been looked at for damage.

    Args:
        path: of it.
        device: where tensors go.
        mapped: whether they are left in the file, on the CPU, and read as they are used.
        only: see `load`.
        worker: which worker this is, of how many that call this together: each looks at a share of the parts, so that
            none reads them all.

    Raises:
        DamagedError, ValueError: see `load`.
    """
    state = _content(path, device, mapped=mapped)
    if _needs_parts(state, only):
        _check_parts(path, _paths(path, state), worker)
    return state


def with_parts(path: Path, state: dict[str, Any], *, only: Collection[str] = ()) -> dict[str, Any]:
    """What `head` has read with all that is in its parts: `Pieces` of tensors that are left in their files.

    Raises:
        ValueError: the parts are another experiment's.
    """
    if not _needs_parts(state, only):
        return state
    parts = [_content(each, mapped=True, checked=False) for each in _paths(path, state)]
    if any(each["identity"] != state["identity"] for each in parts):
        raise ValueError(f"{path} has parts that belong to another experiment ({parts[0]['identity']})")
    return merged(state, [{key: each[key] for key in SHARED} for each in parts])


def _needs_parts(state: Mapping[str, Any], only: Collection[str]) -> bool:
    return "parts" in state and (not only or not set(SHARED).isdisjoint(only))


def _paths(path: Path, state: Mapping[str, Any]) -> list[Path]:
    """Where the parts of a checkpoint are; none if all of it is in its file."""
    count = state.get("parts", 0)
    return [part(path, state["saves"], rank, count) for rank in range(count)]


def _check_parts(path: Path, paths: Sequence[Path], worker: tuple[int, int]) -> None:
    rank, world_size = worker
    for number, each in enumerate(paths):
        try:
            damage = _damage(each) if number % world_size == rank else ""
            each.stat()
        except FileNotFoundError:
            damage = "it is not there"
        except OSError as error:
            raise ValueError(f"{each} cannot be read ({error.strerror})") from error
        if damage:
            raise DamagedError(f"{path} is not a readable checkpoint: its part {each.name} is damaged: {damage}")


def _content(
    path: Path, device: torch.device | str = "cpu", *, mapped: bool = False, checked: bool = True
) -> dict[str, Any]:
    """What is in one file.

    Args:
        path: of it.
        device: where its tensors go.
        mapped: whether they are left in the file.
        checked: whether it is looked for damage.
    """
    try:
        if checked:
            check(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    try:
        state = torch.load(path, map_location="cpu" if mapped else device, weights_only=True, mmap=mapped)
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


def describe_damage(path: Path) -> str:
    """In words, what is wrong with a damaged checkpoint."""
    try:
        head(path, mapped=True)
    except DamagedError as error:
        return str(error)
    return f"{path} is damaged"


def put_aside(path: Path) -> Path:
    """Rename a damaged checkpoint, with its parts as far as they are known; its new path."""
    try:
        parts = _paths(path, _content(path, mapped=True, checked=False))
    except ValueError:
        parts = []
    for each in parts:
        if each.exists():
            set_aside(each)
    return set_aside(path)


def keep_last(path: Path) -> None:
    """Remove all that belongs to another checkpoint than the last, of a run that has ended."""
    before(path).unlink(missing_ok=True)
    if numbers := [number for _, number in _parts(path)]:
        with suppress(ValueError):  # On a node without the first worker there may be none, or one from before.
            numbers.append(_content(path, mapped=True, checked=False).get("saves", 0))
        remove_parts(path, max(numbers))


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


def _parts(path: Path) -> Iterator[tuple[Path, int]]:
    """The parts of checkpoints at `path`, with their numbers; those of damaged ones are left out."""
    for each in path.parent.glob(f"{glob.escape(path.stem)}.*.part-*{glob.escape(path.suffix)}"):
        if found := _PART.match(each.name, len(path.stem)):
            yield each, int(found[1])


def remove_parts(path: Path, first: int) -> None:
    """Remove the parts of checkpoints before the `first`-th."""
    for each, number in _parts(path):
        if number < first:
            each.unlink(missing_ok=True)


def _num_bytes(state: Any) -> int:
    """About what a state takes in a file: its tensors, each with a head."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size() + _HEAD_BYTES
    if isinstance(state, Mapping):
        return sum(map(_num_bytes, state.values()))
    return sum(map(_num_bytes, state)) if isinstance(state, list | tuple) else 0
