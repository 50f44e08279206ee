"""A folder of image files."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from curriculum_search.data.decode import SUFFIXES, ImageFiles, is_image
from curriculum_search.data.files import EDM_LABELS, FileSource, edm_labels
from curriculum_search.data.images import Indices, existing


@dataclass(frozen=True, kw_only=True)
class Folder(FileSource):
    """A folder of images: all directly in it and without labels, or all in subfolders, one per class.

    Classes are numbered in the order of their folders' names.  A ``dataset.json`` in the folder, as EDM's dataset_tool
    writes it, gives the labels instead, and the subfolders then mean nothing.  Files whose names do not end like an
    image's, and hidden ones, are passed over.
    """

    kind: Literal["folder"] = "folder"

    def path_stamp(self, path: Path) -> str:
        """The times of change of the folder and of those in it, which adding and removing files change."""
        folders = [(e.name, e.stat().st_mtime_ns) for e in os.scandir(path) if e.is_dir()] if path.is_dir() else []
        return repr((path.stat().st_mtime_ns, sorted(folders)))

    def open_files(self) -> tuple[ImageFiles, Indices | None, str]:
        """The image files in and below the folder, sorted by name."""
        files = _FolderFiles(existing(self.path))
        labels_file = files.root / EDM_LABELS
        labels = edm_labels(files, labels_file.read_bytes()) if labels_file.is_file() else _class_folders(files)
        return files, labels, files.fingerprint


class _FolderFiles(ImageFiles):
    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ValueError(f"{root} is not a folder")
        found = []
        for folder, _, names in os.walk(root, followlinks=True):
            for name in names:
                path = Path(folder, name)
                relative = path.relative_to(root).as_posix()
                if is_image(relative):
                    stat = path.stat()
                    found.append((relative, stat.st_size, stat.st_mtime_ns))
        if not found:
            raise ValueError(f"{root}: no image in it ({' '.join(SUFFIXES)})")
        found.sort()
        self.root = root
        self.where = str(root)
        self.names = [name for name, _, _ in found]
        self.sizes = [size for _, size, _ in found]
        self.fingerprint = hashlib.sha256(repr(found).encode()).hexdigest()

    def open(self, name: str) -> BinaryIO:
        return open(self.root / name, "rb")


def _class_folders(files: _FolderFiles) -> Indices | None:
    folders = [name.split("/")[0] if "/" in name else None for name in files.names]
    if all(folder is None for folder in folders):
        return None
    if None in folders:
        stray = files.names[folders.index(None)]
        raise ValueError(f"{files.where}: {stray} lies beside the class folders, so it has no label")
    classes = {folder: i for i, folder in enumerate(sorted(set(folders)))}  # type: ignore[type-var]
    return np.array([classes[folder] for folder in folders], np.int64)
