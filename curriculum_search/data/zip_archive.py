"""The zip archive that EDM's dataset_tool writes."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from curriculum_search.data.compact import CompactNames, compact_integers
from curriculum_search.data.decode import ImageFiles, sorted_out
from curriculum_search.data.files import LabelledFileSource
from curriculum_search.data.images import existing, file_stamp
from curriculum_search.data.labels import EDM_LABELS

_DESCRIBED = ("header_offset", "compress_size", "file_size", "CRC", "compress_type", "flag_bits")
"""What of a member's description opening it takes, beside its name."""


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
        entries = {info.filename.replace("\\", "/"): info for info in self._archive.infolist()}
        listing = sorted_out(str(path), entries, EDM_LABELS)
        found = [entries[name] for name in listing.images]
        self.where = str(path)
        self.names, self.folders = CompactNames(listing.images), CompactNames(listing.folders)
        self.documents = listing.documents
        self.skipped = listing.skipped
        self.num_bytes = sum(info.file_size for info in found)
        content = [(info.filename, info.file_size, info.CRC) for info in found]
        self.fingerprint = hashlib.sha256(repr(content).encode()).hexdigest()

        stored = [info.orig_filename for info in found]
        self._stored_names = self.names if stored == listing.images else CompactNames(stored)
        self._described = {field: compact_integers([getattr(info, field) for info in found]) for field in _DESCRIBED}
        self._documents = {name: entries[name] for name in listing.documents}
        # The archive's own descriptions take 600 bytes an image, and are not asked for where one is given.
        self._archive.filelist.clear()
        self._archive.NameToInfo.clear()

    def open(self, index: int) -> BinaryIO:
        info = zipfile.ZipInfo(self._stored_names[index])
        for field, values in self._described.items():
            setattr(info, field, int(values[index]))
        return cast(BinaryIO, self._archive.open(info))

    def open_document(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self._archive.open(self._documents[name]))
