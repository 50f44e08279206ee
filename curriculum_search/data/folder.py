"""A folder of image files."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from curriculum_search.config import later
from curriculum_search.data.captions import METADATA
from curriculum_search.data.compact import CompactNames
from curriculum_search.data.decode import ImageFiles, sorted_out
from curriculum_search.data.files import LabelledFileSource
from curriculum_search.data.images import existing, file_stamp
from curriculum_search.data.labels import EDM_LABELS, NO_LABELS, Labels, metadata_labels


@dataclass(frozen=True, kw_only=True)
class Folder(LabelledFileSource):
    """A folder of images: all directly in it and without labels, or all in subfolders, one per class.

    Classes are numbered in the order of their folders' names, and each needs an image.  A single folder around them
    changes nothing.  A ``dataset.json``, as EDM's dataset_tool writes it, gives the labels instead, and so does a
    ``metadata.jsonl``, as Hugging Face's imagefolder has it, where its lines have file_name and a class, a number or a
    name; the subfolders then mean nothing.  Files whose names do not end like an image's, and hidden ones, are passed
    over.  A link to a folder is followed where it leads to what is not read anyway.

    Attributes:
        label_column: of ``metadata.jsonl`` that has the class.
    """

    kind: Literal["folder"] = "folder"
    label_column: str = later("label")

    def path_stamp(self, path: Path) -> str:
        """The times of change of the folder, of those in it, which adding and removing files change, and of labels."""
        folders = [(e.name, e.stat().st_mtime_ns) for e in os.scandir(path) if e.is_dir()] if path.is_dir() else []
        document = path / METADATA
        return repr((path.stat().st_mtime_ns, sorted(folders), file_stamp(document) if document.is_file() else ""))

    def labels_of(self, files: ImageFiles) -> Labels | None:
        """The labels, None where there are none.

        Raises:
            ValueError: an image has none, while others have, or they could be meant in more than one way.
        """
        document = existing(self.path) / METADATA
        found = metadata_labels(document, files.names, self.label_column) if document.is_file() else None
        if found is None:
            return super().labels_of(files)
        if files.documents:
            raise ValueError(
                f"{files.where}: {METADATA} and {files.documents[0]} could both be the labels; keep one, or {NO_LABELS}"
            )
        files.has_read(".jsonl")
        return found

    def open_files(self) -> ImageFiles:
        """The image files in and below the folder, sorted by name."""
        return FolderFiles(existing(self.path))


class FolderFiles(ImageFiles):
    """The image files in and below a folder, sorted by name."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ValueError(f"{root} is not a folder")
        self.root = root
        self.where = str(root)
        walk = _Walk(root)
        listing = sorted_out(self.where, walk.names, EDM_LABELS)
        found = []
        for name in listing.images:
            try:
                stat = os.stat(os.path.join(root, name))
            except OSError as error:
                raise ValueError(f"{root}: {name}: {error.strerror}") from error
            found.append((name, stat.st_size, stat.st_mtime_ns))
        self.names, self.folders = CompactNames(listing.images), CompactNames(listing.folders)
        self.documents = listing.documents
        repeated = {"link to what is read anyway": walk.num_repeated} if walk.num_repeated else {}
        self.skipped = {**listing.skipped, **repeated}
        self.num_bytes = sum(size for _, size, _ in found)
        self.fingerprint = hashlib.sha256(repr(found).encode()).hexdigest()

    def open(self, index: int) -> BinaryIO:
        return self.open_document(self.names[index])

    def open_document(self, name: str) -> BinaryIO:
        return open(os.path.join(self.root, name), "rb")


class _Walk:
    """All files below `root`, and folders with a slash at the end, in `names`.

    What lies in a folder is read once: under its own name where it has one below `root`, else under that of the first
    link to it.  A link to a folder around `root` is never followed.  `num_repeated` links and folders lead to what is
    read anyway.
    """

    def __init__(self, root: Path) -> None:
        self.names: list[str] = []
        self.num_repeated = 0
        self._root = root
        self._read = set[str]()
        links = self._enter(root)
        while links:
            link = links.pop(0)
            target = os.path.realpath(link)
            if target in self._read or os.path.realpath(root).startswith(os.path.join(target, "")):
                self.num_repeated += 1
            else:
                links += self._enter(link)

    def _enter(self, top: Path) -> list[Path]:
        """Take what is below `top`, and return the links to folders there, sorted."""
        links = []
        for folder, folders, files in os.walk(top, onerror=self._refuse):
            if (real := os.path.realpath(folder)) in self._read:
                self.num_repeated += 1
                folders.clear()
                continue
            self._read.add(real)
            here = f"{Path(folder).relative_to(self._root).as_posix()}/".removeprefix("./")
            self.names += [here or "./", *(f"{here}{name}" for name in files)]
            links += [path for name in folders if (path := Path(folder, name)).is_symlink()]
        return sorted(links)

    def _refuse(self, error: OSError) -> None:
        raise ValueError(f"{self._root}: {error.filename}: {error.strerror}") from error
