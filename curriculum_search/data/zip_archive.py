"""The zip archive that EDM's dataset_tool writes."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from curriculum_search.data.decode import SUFFIXES, ImageFiles, is_image
from curriculum_search.data.files import EDM_LABELS, FileSource, edm_labels
from curriculum_search.data.images import Indices, existing, file_stamp


@dataclass(frozen=True, kw_only=True)
class Zip(FileSource):
    """Images in a zip archive, with labels where its ``dataset.json`` has them (NVlabs/edm, dataset_tool.py)."""

    kind: Literal["zip"] = "zip"

    def path_stamp(self, path: Path) -> str:
        """Size and time of change of the archive."""
        return file_stamp(path)

    def open_files(self) -> tuple[ImageFiles, Indices | None, str]:
        """The images in the archive, sorted by name."""
        files = _ZipFiles(existing(self.path))
        document = files.labels_document()
        return files, None if document is None else edm_labels(files, document), files.fingerprint


class _ZipFiles(ImageFiles):
    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(f"{path} is not a zip archive that can be read: {error}") from error
        found = sorted((i for i in self._archive.infolist() if is_image(i.filename)), key=lambda info: info.filename)
        if not found:
            raise ValueError(f"{path}: no image in it ({' '.join(SUFFIXES)})")
        self.where = str(path)
        self.names = [info.filename for info in found]
        self.sizes = [info.file_size for info in found]
        content = [(info.filename, info.file_size, info.CRC) for info in found]
        self.fingerprint = hashlib.sha256(repr(content).encode()).hexdigest()

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self._archive.open(name))

    def labels_document(self) -> bytes | None:
        return self._archive.read(EDM_LABELS) if EDM_LABELS in self._archive.namelist() else None
