"""The zip archive that EDM's dataset_tool writes."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from curriculum_search.data.decode import ImageFiles, sorted_out
from curriculum_search.data.files import LabelledFileSource
from curriculum_search.data.images import existing, file_stamp
from curriculum_search.data.labels import EDM_LABELS


@dataclass(frozen=True, kw_only=True)
class Zip(LabelledFileSource):
    """Images in a zip archive, with labels where a `Folder` has them: in what EDM's dataset_tool writes, or in classes.

    A folder that everything lies in changes nothing.
    """

    kind: Literal["zip"] = "zip"

    def path_stamp(self, path: Path) -> str:
        """Size and time of change of the archive."""
        return file_stamp(path)

    def open_files(self) -> ImageFiles:
        """The images in the archive, sorted by name."""
        return _ZipFiles(existing(self.path))


class _ZipFiles(ImageFiles):
    def __init__(self, path: Path) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(f"{path} is not a zip archive that can be read: {error}") from error
        # Some tools of Windows write their own separator.
        self._entries = {info.filename.replace("\\", "/"): info for info in self._archive.infolist()}
        listing = sorted_out(str(path), self._entries, EDM_LABELS)
        found = [self._entries[name] for name in listing.images]
        self.where = str(path)
        self.names, self.folders, self.documents = listing.images, listing.folders, listing.documents
        self.skipped = listing.skipped
        self.sizes = [info.file_size for info in found]
        content = [(info.filename, info.file_size, info.CRC) for info in found]
        self.fingerprint = hashlib.sha256(repr(content).encode()).hexdigest()

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self._archive.open(self._entries[name]))
