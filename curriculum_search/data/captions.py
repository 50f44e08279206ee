"""The captions of image files, where the usual tools put them, matched with the images."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Texts = Sequence[tuple[str, ...]]
"""The captions of each image, in the order of the files' names."""

METADATA = "metadata.jsonl"
_NAMED = 3  # of those that are missing, in a message


def folder_captions(root: Path, names: Sequence[str], column: str) -> Texts:
    """The captions of a folder's images: in its ``metadata.jsonl``, else in a ``.txt`` beside each image.

    Args:
        root: the folder.
        names: of its images, relative to it.
        column: of the ``metadata.jsonl`` that has a caption, or a list of them.

    Raises:
        ValueError: there are none, they cannot be read, or some have no image or some image has none.
    """
    document = root / METADATA
    if document.is_file():
        return matched(str(document), names, _metadata(document, column))
    stems = {str(Path(name).with_suffix("")): name for name in names}
    found = {}
    for path in sorted(root.rglob("*.txt")):
        stem = path.relative_to(root).with_suffix("").as_posix()
        found[stems.get(stem, f"{stem}.txt")] = path.read_text().splitlines()
    if not found:
        raise ValueError(
            f"{root}: there are no captions: put a {METADATA} with file_name and {column} into it, or a .txt beside "
            "each image"
        )
    return matched(str(root), names, found)


def coco_captions(document: Path, names: Sequence[str] | None = None) -> Texts:
    """The captions in COCO's ``captions_*.json``, of the images that it names.

    Args:
        document: the file.
        names: of the images; None: all that it has, in the order of their ids, as U-ViT numbers them.

    Raises:
        ValueError: see `folder_captions`.
    """
    try:
        content = json.loads(document.read_text())
        files = {image["id"]: image["file_name"] for image in content["images"]}
        found: dict[str, list[str]] = {name: [] for name in files.values()}
        for annotation in content["annotations"]:
            identity = annotation["image_id"]
            found.setdefault(files.get(identity, f"image_id {identity}"), []).append(annotation["caption"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{document} is not one of COCO's captions_*.json: images with id and file_name, annotations with image_id "
            f"and caption ({type(error).__name__}: {error})"
        ) from error
    return matched(str(document), [files[key] for key in sorted(files)] if names is None else names, found)


def matched(where: str, names: Sequence[str], found: Mapping[str, Sequence[str]]) -> Texts:
    """The captions of each image, without the blank ones.

    Args:
        where: they come from, for messages.
        names: of the images.
        found: image to its captions.

    Raises:
        ValueError: there are images without captions, or captions without images; the message counts and lists them.
    """
    captions = [tuple(text.strip() for text in found.get(name, ()) if text.strip()) for name in names]
    known = set(names)
    bare = [name for name, some in zip(names, captions, strict=True) if not some]
    lost = [name for name in found if name not in known]
    if bare or lost:
        parts = [
            f"{len(those):,} of {count:,} {what} ({', '.join(those[:_NAMED])}{', ...' if len(those) > _NAMED else ''})"
            for those, count, what in (
                (bare, len(names), "images have no caption"),
                (lost, len(found), "captioned images are not there"),
            )
            if those
        ]
        raise ValueError(f"{where}: {'; '.join(parts)}; every image needs a caption, and every caption an image")
    return captions


def caption_texts(content: Any, column: str) -> list[str]:
    """The captions in a row of JSON: a text, or a list of them, under the name of a column.

    Raises:
        ValueError: there are none.
    """
    value = content.get(column) if isinstance(content, dict) else None
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"needs {column}, a text or a list of texts")
    return texts


def _metadata(document: Path, column: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for where, row in metadata_rows(document):
        try:
            found.setdefault(row["file_name"], []).extend(caption_texts(row, column))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    return found


def metadata_rows(document: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a ``metadata.jsonl``, each with its place for messages.

    Raises:
        ValueError: naming the line: it is no JSON, or names no file.
    """
    for number, line in enumerate(document.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{document}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
            raise ValueError(f"{where}: needs file_name, the image's path in the folder")
        yield where, row
