"""Latents as the usual tools leave them: which of their forms a path has, and what is in it.

- ``.npy`` [N, C, H, W], with labels in a file of their own.
- EDM2's and REPA's zip or folder: a ``dataset.json`` and one ``.npy`` [2 C, H, W] for each image, mean and then
  standard deviation.
- LightningDiT's folder of safetensors: ``latents``, ``latents_flip`` (of the mirrored images) and ``labels``.  What
  jobs/encode.py writes has this form too, and says in its header how it came about.
- fast-DiT's two folders, ``..._features`` and ``..._labels``: one ``.npy`` for each image, samples times 0.18215.
- U-ViT's folder of COCO, which REPA reuses: ``<i>.npy`` [2 C, H, W], mean and then log-variance, and beside them
  ``<i>_<j>.npy`` with CLIP's features of the captions, which are not read: the captions are encoded here.
"""

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curriculum_search.data.images import Indices
from curriculum_search.data.latent_rows import MappedRows, NpyRows, Rows, ZippedRows, load_array
from curriculum_search.tensor_file import TensorFile, open_tensors

Layout = Literal["sample", "mean_std", "mean_logvar"]

PROVENANCE = "curriculum_search"  # of what jobs/encode.py writes, in each file's header
_DOCUMENT = "dataset.json"
_FAST_DIT_SCALE = 0.18215


@dataclass(frozen=True, kw_only=True)
class LatentFiles:
    """What lies under a path.

    Attributes:
        rows: one array for each image.
        twins: the same of the mirrored images.
        labels: int64 [N].
        layout: what a row is, where the form says so.
        scale: what stored latents have been multiplied by.
        provenance: how they came about, of those that jobs/encode.py wrote.
    """

    rows: Rows
    twins: Rows | None = None
    labels: Indices | None = None
    layout: Layout | None = None
    scale: float = 1.0
    provenance: Mapping[str, Any] = field(default_factory=dict)


def stamped(path: Path) -> list[Path]:
    """Whose sizes and times of change tell one content of a path from another: the path and, in a folder, its files of
    many latents; the times of a folder tell of files of one latent that come and go."""
    return [path, *sorted(path.glob("*.safetensors"))]


def find_latents(path: Path) -> LatentFiles:
    """The latents under a path.

    Raises:
        ValueError: naming the file: it has none of the forms, or is damaged.
    """
    if path.suffix == ".npy":
        return LatentFiles(rows=MappedRows([_mapped(path)]))
    if path.suffix == ".zip":
        return _zip(path)
    if path.suffix == ".safetensors":
        return _tensors(path, [path])
    if path.is_dir():
        if (path / _DOCUMENT).is_file():
            return _described_folder(path)
        if files := sorted(path.glob("*.safetensors")):
            return _tensors(path, files)
        features, labels = (sorted(path.glob(f"*_{part}")) for part in ("features", "labels"))
        if len(features) == len(labels) == 1:
            return _two_folders(features[0], labels[0])
        if files := sorted(path.glob("*.npy")):
            load_array(files[0])  # pickled objects are told apart
            if any(re.fullmatch(r"\d+_\d+", file.stem) for file in files):
                numbered = _numbered(path)
                return LatentFiles(rows=NpyRows([numbered[i] for i in sorted(numbered)]), layout="mean_logvar")
    raise ValueError(
        f"{path}: no latents that are known here: .npy, a zip or folder with {_DOCUMENT} (EDM2, REPA), a folder of "
        ".safetensors (LightningDiT, jobs/encode.py), one with two folders, ..._features and ..._labels (fast-DiT), or "
        "one with <i>.npy and <i>_<j>.npy (U-ViT's COCO)"
    )


def read_labels(path: Path, count: int) -> Indices:
    """Labels int64 [count] of a ``.npy`` file.

    Raises:
        ValueError: naming the file.
    """
    return _as_labels(_mapped(path), count, str(path))


def _mapped(path: Path) -> NDArray[Any]:
    array = load_array(path, mapped=True)
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{path}: nothing is in it")
    return array


def _zip(path: Path) -> LatentFiles:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist() if info.filename.endswith(".npy")}
            documents = [name for name in archive.namelist() if name.rpartition("/")[2] == _DOCUMENT]
            content = archive.read(documents[0]) if len(documents) == 1 else b""
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path} is not a zip archive that can be read: {error}") from error
    if not members or len(documents) != 1:
        raise ValueError(f"{path}: has {len(members):,} .npy files and {len(documents)} {_DOCUMENT}; both are needed")
    base, names = documents[0][: -len(_DOCUMENT)], sorted(members)
    labels = _described_labels(content, [name.removeprefix(base) for name in names], f"{path}: {documents[0]}")
    return LatentFiles(rows=ZippedRows(path, [members[name] for name in names]), labels=labels, layout="mean_std")


def _described_folder(path: Path) -> LatentFiles:
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*.npy"))
    if not names:
        raise ValueError(f"{path}: has a {_DOCUMENT} and no .npy files")
    labels = _described_labels((path / _DOCUMENT).read_bytes(), names, str(path / _DOCUMENT))
    return LatentFiles(rows=NpyRows([path / name for name in names]), labels=labels, layout="mean_std")


def _described_labels(content: bytes, names: Sequence[str], where: str) -> Indices | None:
    try:
        pairs = json.loads(content)["labels"]
        known = None if pairs is None else dict(pairs)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{where} is not {{"labels": [[name, class], ...]}} or {{"labels": null}}') from error
    if known is None:
        return None
    if missing := [name for name in names if name not in known]:
        raise ValueError(f"{where}: {len(missing):,} of {len(names):,} latents have no label, as {missing[0]}")
    return _as_labels(np.array([known[name] for name in names]), len(names), where)


def _tensors(path: Path, files: Sequence[Path]) -> LatentFiles:
    opened = [open_tensors(file) for file in files]
    for file, found in zip(files, opened, strict=True):
        if "latents" not in found.arrays:
            raise ValueError(f"{file}: no tensor latents, only {', '.join(found.arrays) or 'nothing'}")
        expected = opened[0].arrays["latents"]
        for name in ("latents", "latents_flip", "labels"):
            if (name in found.arrays) != (name in opened[0].arrays):
                raise ValueError(f"{path}: some files have {name} and some have not, as {file.name}")
        if found.arrays["latents"].shape[1:] != expected.shape[1:]:
            raise ValueError(
                f"{file}: latents of shape {list(found.arrays['latents'].shape[1:])}, while those of {files[0].name} "
                f"have {list(expected.shape[1:])}"
            )
    provenance = _provenance(path, files, opened)
    count = sum(len(found.arrays["latents"]) for found in opened)
    labels = None
    if "labels" in opened[0].arrays:
        labels = _as_labels(np.concatenate([found.arrays["labels"] for found in opened]), count, str(path))
    twins = None
    if "latents_flip" in opened[0].arrays:
        twins = MappedRows([found.arrays["latents_flip"] for found in opened])
    return LatentFiles(
        rows=MappedRows([found.arrays["latents"] for found in opened]),
        twins=twins,
        labels=labels,
        layout=provenance.get("layout", "sample"),
        provenance=provenance,
    )


def _provenance(path: Path, files: Sequence[Path], opened: Sequence[TensorFile]) -> Mapping[str, Any]:
    """What jobs/encode.py wrote into the headers, the same in all files but for the part; nothing where others wrote.

    Raises:
        ValueError: a part is missing, or of something else.
    """
    texts = [json.loads(found.metadata.get(PROVENANCE, "{}")) for found in opened]
    if not any(texts):
        return {}
    parts = [text.pop("part", None) for text in texts]
    for text in texts:
        text.pop("statistics", None)
    for file, text in zip(files, texts, strict=True):
        if text != texts[0]:
            raise ValueError(f"{file} was encoded from something else, or by another encoder, than {files[0].name}")
    missing = sorted(set(range(texts[0]["parts"])) - set(parts))
    if missing:
        raise ValueError(
            f"{path}: {len(missing):,} of {texts[0]['parts']:,} parts are missing; the same jobs/encode.py goes on"
        )
    return dict(texts[0])


def _two_folders(features: Path, labels: Path) -> LatentFiles:
    ours, theirs = _numbered(features), _numbered(labels)
    if ours.keys() != theirs.keys():
        odd = sorted(ours.keys() ^ theirs.keys())
        raise ValueError(f"{features} and {labels}: {len(odd):,} files are in one of them only, as {odd[0]}.npy")
    numbers = sorted(ours)
    values = NpyRows([theirs[number] for number in numbers]).read(np.arange(len(numbers)))
    return LatentFiles(
        rows=NpyRows([ours[number] for number in numbers]),
        labels=_as_labels(values.reshape(len(numbers), -1)[:, 0], len(numbers), str(labels)),
        layout="sample",
        scale=_FAST_DIT_SCALE,
    )


def _numbered(folder: Path) -> dict[int, Path]:
    """Files ``<number>.npy``."""
    found = {int(file.stem): file for file in folder.glob("*.npy") if re.fullmatch(r"\d+", file.stem)}
    if not found:
        raise ValueError(f"{folder}: no files 0.npy, 1.npy and so on")
    return found


def _as_labels(values: NDArray[Any], count: int, where: str) -> Indices:
    if values.shape != (count,) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{where}: labels must be {count:,} integers, not {values.dtype} {list(values.shape)}")
    if values.min() < 0:
        raise ValueError(f"{where}: labels must not be negative, and {int(values.argmin())} has {values.min()}")
    return values.astype(np.int64)
