"""Labels of image files, where the usual tools put them: in a ``dataset.json`` or a ``metadata.jsonl``, or in the names
of class folders."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curriculum_search.data.captions import metadata_rows
from curriculum_search.data.decode import ImageFiles
from curriculum_search.data.images import Indices

EDM_LABELS = "dataset.json"
_PARTS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
_NUMBERED = re.compile(r"(?:.*/)?(\d{5})/img(\d{8})\.\w+")  # as EDM's dataset_tool names images
_DOCUMENT_BYTES = 2**20  # that any document may have, and
_IMAGE_BYTES = 2**10  # that it may have besides for each image
NO_LABELS = "use_labels: false trains without labels"


@dataclass(frozen=True)
class Labels:
    """The classes of image files.

    values: int64 [N], in the order of the files' names.
    names: of the classes, where they have names.
    """

    values: Indices
    names: tuple[str, ...] = ()


def find_labels(files: ImageFiles) -> Labels | None:
    """The labels that come with image files, None where there are none.

    Raises:
        ValueError: an image has no label, a class no image, or it could be meant in more than one way.
    """
    if len(files.documents) > 1:
        raise ValueError(
            f"{files.where}: {' and '.join(files.documents[:2])} could both be the labels; keep one, or {NO_LABELS}"
        )
    if files.documents:
        return _edm_labels(files, files.documents[0])
    return _class_folders(files)


def metadata_labels(document: Path, names: Sequence[str], column: str) -> Labels | None:
    """The labels in a ``metadata.jsonl``, as Hugging Face's imagefolder has it; None where no row has any.

    Args:
        document: a line of JSON for each image, with file_name and the class: an integer from 0, or its name.
        names: of the images, relative to the folder that it lies in.
        column: that has the class.

    Raises:
        ValueError: naming the line or the image, where some have a class and some have none.
    """
    known: dict[str, tuple[str, Any]] = {}
    try:
        for where, row in metadata_rows(document):
            if column in row:
                if row["file_name"] in known:
                    raise ValueError(f"{where}: {row['file_name']} has had its {column} before")
                known[row["file_name"]] = where, row[column]
    except ValueError as error:
        raise ValueError(f"{error}; {NO_LABELS}") from error
    if not known:
        return None
    if missing := [name for name in names if name not in known]:
        raise ValueError(
            f"{document}: {len(missing):,} of {len(names):,} images have no {column}, as {missing[0]}; {NO_LABELS}"
        )
    are_names = isinstance(next(iter(known.values()))[1], str)
    for where, label in known.values():
        if not (isinstance(label, str) if are_names else type(label) is int and label >= 0):
            wanted = "a name, as the first is" if are_names else "an integer from 0, or a name in all of them"
            raise ValueError(f"{where}: {column} is {label!r}; it must be {wanted}; {NO_LABELS}")
    classes = sorted({label for _, label in known.values()}) if are_names else []
    numbers = {name: number for number, name in enumerate(classes)}
    values = [known[name][1] for name in names]
    return Labels(np.array([numbers.get(value, value) for value in values], np.int64), tuple(classes))


def _edm_labels(files: ImageFiles, document: str) -> Labels | None:
    """The labels in a ``dataset.json`` as EDM's dataset_tool writes it; its names start at the folder it lies in."""
    where = f"{files.where}: {document}"
    limit = _DOCUMENT_BYTES + _IMAGE_BYTES * len(files.names)
    content = files.read_document(document, limit + 1)
    if len(content) > limit:
        raise ValueError(
            f"{where} is larger than the {limit / 2**20:,.1f} MiB that labels of {len(files.names):,} images can take"
        )
    base = document[: document.rfind("/") + 1]
    try:
        pairs = json.loads(content)["labels"]
        known: dict[str, Any] | None = None
        if pairs is not None:
            known = {base + name.replace("\\", "/"): label for name, label in pairs}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f'{where} is not {{"labels": [[name, class], ...]}} or {{"labels": null}}') from error
    if known is None:
        return None
    for name in files.names:
        label = known.get(name)
        if type(label) is not int or label < 0:
            problem = "has no label" if label is None else f"has the label {label!r}; it must be an integer from 0"
            raise ValueError(f"{where}: {name} {problem}")
    return Labels(np.array([known[name] for name in files.names], np.int64))


def _class_folders(files: ImageFiles) -> Labels | None:
    """One class for each subfolder, numbered in the order of their names, as torchvision's ImageFolder does.

    A single folder that holds nothing but folders is none: what is in it counts.
    """
    base, at_top, folders = "", *_below(files, "")
    while not at_top and len(folders) == 1:
        inner = f"{base}{folders[0]}/"
        at_inner, inside = _below(files, inner)
        if at_inner:
            break
        base, folders = inner, inside
    filled = [name[len(base) :].split("/")[0] for name in files.names]
    if at_top:
        if len(at_top) == len(files.names):
            return None
        raise ValueError(f"{files.where}: {at_top[0]} lies beside the class folders, so it has no label; {NO_LABELS}")
    where = f"{files.where}: {base}" if base else files.where
    if empty := sorted(set(folders) - set(filled)):
        raise ValueError(f"{where}: no image in class folder {empty[0]}; take it out, or {NO_LABELS}")
    if len(folders) > 1 and all(folder.lower() in _PARTS for folder in folders):
        raise ValueError(
            f"{where}: {' and '.join(folders)} look like parts of a data set, not classes; let path name one of them, "
            f"or {NO_LABELS}"
        )
    numbers = [_NUMBERED.fullmatch(name) for name in files.names]
    if all(number is not None and int(number[1]) == int(number[2]) // 1000 for number in numbers):
        raise ValueError(
            f"{where}: images are numbered as EDM's dataset_tool does it, and the {EDM_LABELS} that it writes is "
            f"missing; {NO_LABELS}"
        )
    classes = {folder: i for i, folder in enumerate(folders)}
    return Labels(np.array([classes[folder] for folder in filled], np.int64), tuple(folders))


def _below(files: ImageFiles, base: str) -> tuple[list[str], Sequence[str]]:
    """The images that lie directly in a folder, and the names of its subfolders, sorted."""
    images = [name for name in files.names if name.startswith(base) and "/" not in name[len(base) :]]
    inside = {name[len(base) :].split("/")[0] for name in files.folders if name.startswith(base) and name != base[:-1]}
    return images, sorted(inside)
