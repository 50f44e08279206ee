"""WebDataset's tar archives: what is in them, and the image files of a set that is spread over many."""

import hashlib
import io
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from curriculum_search.atomic import replacing
from curriculum_search.data.compact import CompactNames, compact_integers
from curriculum_search.data.decode import SUFFIXES, ImageFiles
from curriculum_search.data.images import file_stamp, listed
from curriculum_search.tensor_file import open_tensors, write_tensors

_FORMAT = "2"  # of the file that the members are listed in
_TEXTS = (".cls", ".json", ".txt")  # classes and captions, which are kept with the list
_LONGEST_TEXT = 16_384  # bytes, beyond which a text is left where it lies
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True)
class _Members:
    """The files in all shards, in their order.

    names: uint8, as the archives have them, with a line for each.
    shards: int64 [M], which shard each is in.
    starts, sizes: int64 [M], where it lies there, in bytes.
    texts: uint8, the short texts one after the other.
    places: int64 [M], where each begins in `texts`; -1 for what is none.
    """

    names: NDArray[np.uint8]
    shards: NDArray[np.int64]
    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    texts: NDArray[np.uint8]
    places: NDArray[np.int64]

    def list_names(self) -> list[str]:
        """The names, [M]."""
        return self.names.tobytes().decode(errors="surrogateescape").split("\n") if len(self.shards) else []


class ShardFiles(ImageFiles):
    """The images in tar archives, in the order of the archives' names and then as they lie there.

    As WebDataset has it, files whose names agree up to the first dot of their last part are one sample, and what
    follows that dot says which part of it each is.  The archives are read through once; what lies where, and what the
    texts say, is kept in a file beside the decoded images, which is mapped.

    Args:
        path: an archive, or a folder of them.
        extension: what the image's name goes on with after the first dot, as in ``jpg``; None: there is one image in
            each sample.
        kept: the folder in which the list of what is in the archives is kept.

    Raises:
        ValueError: there is no archive, it cannot be read, or a sample has no image or several.
    """

    def __init__(self, path: Path, extension: str | None, kept: Path) -> None:
        self.where = str(path)
        self._shards = find_shards(path)
        stamps = [(shard.name, file_stamp(shard)) for shard in self._shards]
        self.fingerprint = hashlib.sha256(repr((stamps, extension)).encode()).hexdigest()
        self._members = _listed_once(kept / f"shards-{self.fingerprint[:16]}.safetensors", self._shards)
        samples = self._samples()
        names, rows = list[str](), list[int]()
        for key, parts in samples.items():
            images = [part for part in parts if _is_image(part) and extension in (None, part)]
            if len(images) != 1:
                raise ValueError(f"{self.where}: sample {key} {_problem(images, list(parts), extension)}")
            names.append(f"{key}.{images[0]}")
            rows.append(parts.pop(images[0]))
        if not rows:
            raise ValueError(f"{self.where}: no image in {len(self._shards)} archives ({' '.join(SUFFIXES)})")
        self.names = CompactNames(names)
        self.folders, self.documents = (), ()
        self._rows = compact_integers(rows)
        self.num_bytes = int(self._members.sizes[self._rows].sum())
        beside = [part for parts in samples.values() for part in parts.items()]
        kinds = Counter(extension for extension, _ in beside)
        self.skipped = {f".{extension}": count for extension, count in kinds.most_common()}
        # The other parts of all samples, one after the other: the place of its kind, its row, and where a sample's end.
        self._kinds = {extension: number for number, extension in enumerate(kinds)}
        self._part_kinds = compact_integers([self._kinds[extension] for extension, _ in beside])
        self._part_rows = compact_integers([row for _, row in beside])
        self._part_ends = compact_integers(list(accumulate(len(parts) for parts in samples.values())))

    def open(self, index: int) -> BinaryIO:
        """See `ImageFiles`."""
        return io.BytesIO(self._content(int(self._rows[index])))

    def beside(self, index: int, extension: str) -> str | None:
        """The text of another file of an image's sample, as of ``cls``, where there is one.

        Raises:
            ValueError: naming the file, which is no text.
        """
        own = slice(int(self._part_ends[index - 1]) if index else 0, int(self._part_ends[index]))
        found = self._part_rows[own][self._part_kinds[own] == self._kinds.get(extension, -1)]
        if not len(found):
            return None
        row = int(found[0])
        try:
            return self._content(row).decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.where}: {self._members.list_names()[row]} is no text in UTF-8") from error

    def _samples(self) -> dict[str, dict[str, int]]:
        """The parts of each sample, by what follows the first dot of their names, and the members that they are."""
        samples: dict[str, dict[str, int]] = {}
        names = self._members.list_names()
        for row, (name, shard) in enumerate(zip(names, self._members.shards.tolist(), strict=True)):
            folder, slash, last = name.rpartition("/")
            stem, dot, extension = last.partition(".")
            if not dot or not stem or "__MACOSX" in folder:
                continue
            parts = samples.setdefault(f"{self._shards[shard].name}/{folder}{slash}{stem}", {})
            if parts.setdefault(extension.lower(), row) != row:
                raise ValueError(f"{self._shards[shard]}: {name} is in it twice")
        return samples

    def _content(self, row: int) -> bytes:
        place, size = int(self._members.places[row]), int(self._members.sizes[row])
        if place >= 0:
            return self._members.texts[place : place + size].tobytes()
        with self._shards[int(self._members.shards[row])].open("rb") as file:
            file.seek(int(self._members.starts[row]))
            return file.read(size)


def find_shards(path: Path) -> list[Path]:
    """The tar archives at a path: itself, or those directly in a folder, sorted by name.

    Raises:
        ValueError: there are none, or they are compressed.
    """
    files = [path] if path.is_file() else sorted(entry for entry in path.iterdir() if entry.is_file())
    if packed := [file for file in files if file.name.lower().endswith(_COMPRESSED)]:
        raise ValueError(
            f"{packed[0]} is compressed, so that nothing in it can be read by itself: unpack it to .tar (its images "
            "stay compressed as they are)"
        )
    if path.is_file() or (shards := [file for file in files if file.suffix == ".tar"]):
        return files if path.is_file() else shards
    others = Counter(file.suffix or "no suffix" for file in files)
    raise ValueError(f"{path}: no .tar in it{f'; it has {listed(others.most_common())}' if others else ''}")


def _is_image(extension: str) -> bool:
    return f".{extension.rpartition('.')[2]}" in SUFFIXES


def _problem(images: Sequence[str], parts: Sequence[str], extension: str | None) -> str:
    if images:
        return f"has several images, {' and '.join(sorted(images))}; extension says which is meant"
    wanted = "image" if extension is None else f"image with the extension {extension}"
    return f"has no {wanted}, only {', '.join(sorted(parts))}"


def _listed_once(path: Path, shards: Sequence[Path]) -> _Members:
    """What `_read_through` finds, mapped from the file at `path`, which is written where it is missing or damaged."""
    if (known := _known(path)) is not None:
        return known
    members = _read_through(shards)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            write_tensors(partial, vars(members), {"format": _FORMAT})
    except OSError:
        return members  # The next process reads them through again.
    return _known(path) or members


def _known(path: Path) -> _Members | None:
    try:
        file = open_tensors(path)
        return _Members(**file.arrays) if file.metadata.get("format") == _FORMAT else None
    except (OSError, ValueError, TypeError):
        return None


def _read_through(shards: Sequence[Path]) -> _Members:
    names, rows, texts = list[str](), list[tuple[int, int, int, int]](), bytearray()
    for number, shard in enumerate(shards):
        for name, start, size, text in _files(shard):
            names.append(name)
            rows.append((number, start, size, -1 if text is None else len(texts)))
            texts += text or b""
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    numbers, starts, sizes, places = columns
    blob = np.frombuffer("\n".join(names).encode(errors="surrogateescape"), np.uint8)
    return _Members(blob, numbers, starts, sizes, np.frombuffer(bytes(texts), np.uint8), places)


def _files(shard: Path) -> Iterator[tuple[str, int, int, bytes | None]]:
    """The regular files in an archive: name, start and size in bytes, and the content of a short text.

    Raises:
        ValueError: naming the archive: it cannot be read, or is cut off.
    """
    end = shard.stat().st_size
    try:
        with tarfile.open(shard, "r:") as archive, shard.open("rb") as file:
            for member in archive:
                if not member.isreg() or "\n" in member.name:
                    continue
                start, size, text = member.offset_data, member.size, None
                if start + size > end:
                    raise ValueError(f"{shard} is cut off in {member.name}")
                if size <= _LONGEST_TEXT and member.name.lower().endswith(_TEXTS):
                    file.seek(start)
                    text = file.read(size)
                yield member.name.removeprefix("./"), start, size, text
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"{shard} is not a tar archive that can be read: {error}") from error
