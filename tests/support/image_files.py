"""Image files for tests: folders and archives as tools and people leave them."""

import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from curriculum_search.data import DataSource, Folder, ImageSet, MemoryImages, Zip
from curriculum_search.data.images import Bytes
from support.conditions import labels_in

RNG = np.random.default_rng(0)
#: Name to text, None for an image.
Content = dict[str, str | None]


def picture(height: int = 8, width: int = 8, channels: int = 3) -> Bytes:
    array = RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)
    return array if channels > 1 else array[..., 0]


def write(path: Path, array: Bytes) -> Bytes:
    """Write an image, and the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return array


def edm_zip(path: Path, names: list[str], labels: object = None, size: int = 8) -> Bytes:
    """An archive as EDM's dataset_tool writes it: uncompressed PNGs in numbered folders, then dataset.json."""
    arrays = [picture(size, size) for _ in names]
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_STORED) as target:
        for name, array in zip(names, arrays, strict=True):
            with target.open(name, "w") as stream:
                Image.fromarray(array).save(stream, format="png", compress_level=0)
        target.writestr("dataset.json", json.dumps({"labels": labels}))
    return np.stack(arrays).transpose(0, 3, 1, 2)


def folder(root: Path, content: Content) -> Folder:
    """The content as a folder named ``set``."""
    root = root / "set"
    root.mkdir(parents=True)
    for name, text in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif text is None:
            Image.fromarray(picture()).save(path, format="PNG")
        else:
            path.write_text(text)
    return Folder(path=str(root))


def archive(root: Path, content: Content) -> Zip:
    """The content as an archive named ``set.zip``."""
    with zipfile.ZipFile(root / "set.zip", "w") as target:
        for name, text in content.items():
            if name.endswith("/"):
                target.mkdir(name)
            elif text is None:
                with target.open(name, "w") as stream:
                    Image.fromarray(picture()).save(stream, format="PNG")
            else:
                target.writestr(name, text)
    return Zip(path=str(root / "set.zip"))


def loaded(source: Folder | Zip) -> ImageSet:
    source.check()
    return source.load()


def labels_of(source: Folder | Zip) -> list[int] | None:
    labels = loaded(source).labels
    return None if labels is None else labels.tolist()


def everything(source: DataSource) -> tuple[Bytes, list[int] | None]:
    """Images and labels of a source that passes its check."""
    source.check()
    image_set = source.load()
    images, condition = image_set.read(np.arange(len(image_set)))
    return images.numpy(), labels_in(condition)


def pixels(source: DataSource) -> Bytes:
    """All images of a source that has them in memory."""
    image_set = source.load()
    assert isinstance(image_set, MemoryImages)
    return image_set.images
