"""Tar archives as WebDataset has them, for tests."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from curriculum_search.data.images import Bytes
from support.image_files import picture

#: A member's content: an image, a text, or bytes as they are.
Members = Mapping[str, Bytes | str | bytes]


def encoded(content: Bytes | str | bytes) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    stream = io.BytesIO()
    Image.fromarray(content).save(stream, format="png")
    return stream.getvalue()


def shard(path: Path, members: Members, mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(encoded(content))
            archive.addfile(info, io.BytesIO(encoded(content)))
    return path


def sharded(tmp_path: Path) -> tuple[Path, Bytes]:
    """Three shards with classes, in a folder that has something else too; and their images."""
    images = np.stack([picture() for _ in range(9)])
    for number in range(3):
        members: dict[str, Bytes | str | bytes] = {}
        for i in range(3 * number, 3 * number + 3):
            members |= {f"{i:05d}.cls": str(i % 4), f"{i:05d}.png": images[i]}
        shard(tmp_path / "set" / f"train-{number:06d}.tar", members)
    (tmp_path / "set" / "README.md").touch()
    return tmp_path / "set", images.transpose(0, 3, 1, 2)
