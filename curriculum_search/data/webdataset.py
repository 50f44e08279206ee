"""Sets of images in WebDataset's shards, with classes or captions: tar archives of one or many samples each.

They are read in the seeded order of every set, not in that of the archives: what they are is a format to read.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from curriculum_search.config import later
from curriculum_search.data.captioned import CaptionedSource
from curriculum_search.data.captions import Texts, caption_texts, matched
from curriculum_search.data.decode import ImageFiles
from curriculum_search.data.files import FileSource, LabelledFileSource
from curriculum_search.data.images import existing, file_stamp
from curriculum_search.data.labels import NO_LABELS, Labels
from curriculum_search.data.shards import ShardFiles, find_shards


@dataclass(frozen=True, kw_only=True)
class _Shards(FileSource):
    """What both sources have in common.

    Attributes:
        extension: what follows the first dot in the names of the images, as in ``jpg``; None: a sample has one image.
    """

    extension: str | None = later(None)

    def path_stamp(self, path: Path) -> str:
        """Sizes and times of change of the archives."""
        return " ".join(file_stamp(shard) for shard in find_shards(path))

    def open_files(self) -> ShardFiles:
        """The images in the archives."""
        return ShardFiles(existing(self.path), self.extension, self.kept)


@dataclass(frozen=True, kw_only=True)
class WebDataset(_Shards, LabelledFileSource):
    """WebDataset's shards: a ``.tar``, or a folder of them, with ``.cls`` or ``.json`` beside the images for classes.

    Attributes:
        label_column: of the ``.json``, that has the class, an integer from 0.
    """

    kind: Literal["webdataset"] = "webdataset"
    label_column: str = "label"

    def labels_of(self, files: ImageFiles) -> Labels | None:
        """The classes in ``.cls``, else in ``.json``; None where no image has either."""
        assert isinstance(files, ShardFiles)
        found = {name: self._label(files, index) for index, name in enumerate(files.names)}
        missing = [name for name, label in found.items() if label is None]
        if len(missing) == len(found):
            return None
        if missing:
            raise ValueError(
                f"{self.path}: {len(missing):,} of {len(found):,} images have no class, as {missing[0]}; {NO_LABELS}"
            )
        files.has_read(".cls", ".json")
        return Labels(np.array(list(found.values()), np.int64))

    def _label(self, files: ShardFiles, index: int) -> int | None:
        if (text := files.beside(index, "cls")) is not None:
            words, where = text.strip(), ".cls"
            label: Any = int(words) if words.isdecimal() else words
        elif (content := _document(files, index)) is not None:
            label, where = content.get(self.label_column), f".json under {self.label_column}"
            if label is None:
                return None
        else:
            return None
        if type(label) is not int or label < 0:
            name = files.names[index]
            raise ValueError(
                f"{self.path}: {name} has the class {label!r} in its {where}; it must be an integer from 0"
            )
        return label


@dataclass(frozen=True, kw_only=True)
class CaptionedWebDataset(_Shards, CaptionedSource):
    """WebDataset's shards with captions: in a ``.txt`` beside each image, a line each, else in a ``.json``.

    Attributes:
        column: of the ``.json``, that has the caption or a list of them.
    """

    kind: Literal["captioned_webdataset"] = "captioned_webdataset"
    column: str = "text"

    def find_captions(self, files: ImageFiles) -> Texts:
        """The captions of each image."""
        assert isinstance(files, ShardFiles)
        found = {name: self._captions(files, index) for index, name in enumerate(files.names)}
        files.has_read(".txt", ".json")
        return matched(self.path, files.names, found)

    def _captions(self, files: ShardFiles, index: int) -> list[str]:
        if (text := files.beside(index, "txt")) is not None:
            return text.splitlines()
        content = _document(files, index)
        if content is None:
            return []
        try:
            return caption_texts(content, self.column)
        except ValueError as error:
            raise ValueError(f"{self.path}: the .json of {files.names[index]} {error}") from error


def _document(files: ShardFiles, index: int) -> dict[str, Any] | None:
    text = files.beside(index, "json")
    if text is None:
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{files.where}: the .json of {files.names[index]}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{files.where}: the .json of {files.names[index]} must be an object, not {text[:40]}")
    return content
