"""Sets of captioned image files: a folder as Hugging Face's imagefolder has it, and COCO."""

import hashlib
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from curriculum_search.conditions import Captions, Conditions
from curriculum_search.data.captions import METADATA, Texts, coco_captions, folder_captions
from curriculum_search.data.decode import ImageFiles, Shape
from curriculum_search.data.files import FileImages, FileSource
from curriculum_search.data.folder import Folder, FolderFiles
from curriculum_search.data.images import DataSource, ImageSet, existing, file_stamp
from curriculum_search.text import SentenceEncoder, TextEncoder


class CaptionedSet(ImageSet):
    """What any set of images becomes with captions that they are conditioned on; stands before it among the bases."""

    def __init__(self, captions: Captions, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._captions = captions

    @cached_property
    def conditions(self) -> Conditions:
        """The captions."""
        return self._captions


class CaptionedImages(CaptionedSet, FileImages):
    """Image files, and captions that they are conditioned on."""


@dataclass(frozen=True, kw_only=True)
class Captioned(DataSource):
    """What any source becomes with captions; stands before it among the bases.

    Attributes:
        text_encoder: what a network sees of a caption.
        encoded_path: folder in which the encoded captions are kept; None: the cache.  Where a study runs on several
            machines, all of them should see it.
    """

    text_encoder: TextEncoder = field(default_factory=SentenceEncoder)
    encoded_path: str | None = None

    def check(self) -> None:
        """The same, and whether the text encoder is there."""
        try:
            self.text_encoder.check()
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"text_encoder: {error}") from error
        super().check()

    def captions(self, texts: Texts) -> Captions:
        """The captions of each image, to be encoded once."""
        return Captions(texts, self.text_encoder, None if self.encoded_path is None else Path(self.encoded_path))


@dataclass(frozen=True, kw_only=True)
class CaptionedSource(Captioned, FileSource):
    """What sources of captioned image files have in common."""

    @abstractmethod
    def find_captions(self, files: ImageFiles) -> Texts:
        """The captions of each image.

        Raises:
            ValueError: some have no image, or some image has none.
        """

    def check_conditions(self, files: ImageFiles) -> None:
        """Look at the captions."""
        self.find_captions(files)

    def image_set(self, files: ImageFiles, shape: Shape) -> FileImages:
        """The images, with their captions."""
        captions = self.captions(self.find_captions(files))
        digest = hashlib.sha256(f"{files.fingerprint} {shape} {captions.digest}".encode())
        return CaptionedImages(
            captions,
            self.set_name(shape),
            files,
            shape,
            None,
            fingerprint=digest.hexdigest()[:16],
            decoded=self.decoded(files, shape),
        )


@dataclass(frozen=True, kw_only=True)
class CaptionedFolder(CaptionedSource):
    """A folder of images with captions: in a ``metadata.jsonl``, else in a ``.txt`` of the same name beside each.

    ``metadata.jsonl`` is that of Hugging Face's imagefolder: a line of JSON for each image, with file_name and text.
    Several captions of an image are a list, or several lines; in a ``.txt`` they have a line each.  In training one of
    them is drawn whenever the image is seen.

    Attributes:
        column: of ``metadata.jsonl`` that has the caption.
    """

    kind: Literal["captioned_folder"] = "captioned_folder"
    column: str = "text"

    def path_stamp(self, path: Path) -> str:
        """The times of change of the folder, of those in it, and of the captions."""
        document = path / METADATA
        stamp = file_stamp(document) if document.is_file() else ""
        return f"{Folder(path=str(path)).path_stamp(path)} {stamp}"

    def open_files(self) -> ImageFiles:
        """The image files in and below the folder, sorted by name."""
        files = FolderFiles(existing(self.path))
        files.has_read(".txt", ".jsonl")
        return files

    def find_captions(self, files: ImageFiles) -> Texts:
        """See `folder_captions`."""
        return folder_captions(existing(self.path), files.names, self.column)


@dataclass(frozen=True, kw_only=True)
class Coco(CaptionedSource):
    """COCO's images (Lin et al. 2014, arXiv 1405.0312) with its captions, about five for each.

    U-ViT's and REPA's protocol: train2014 with captions_train2014.json, val2014 with captions_val2014.json as the
    reference, cropped to 256x256.

    Attributes:
        captions_path: ``captions_train2014.json`` or the like.
        reference_captions_path: that of the images in `reference_path`.
    """

    kind: Literal["coco"] = "coco"
    captions_path: str
    reference_captions_path: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.reference_path is None) != (self.reference_captions_path is None):
            raise ValueError("reference_path and reference_captions_path belong together: give both or none")

    @property
    def where(self) -> str:
        """The paths of images and captions."""
        return ", ".join(filter(None, (super().where, self.captions_path, self.reference_captions_path)))

    def stamp(self) -> str:
        """That of the images and of the captions."""
        documents = filter(None, (self.captions_path, self.reference_captions_path))
        return " ".join([super().stamp(), *(file_stamp(existing(path)) for path in documents)])

    def path_stamp(self, path: Path) -> str:
        """The times of change of the folder and of those in it."""
        return Folder(path=str(path)).path_stamp(path)

    def open_files(self) -> ImageFiles:
        """The image files in and below the folder, sorted by name."""
        return FolderFiles(existing(self.path))

    def reference_source(self, resolution: int) -> Self:
        """The source of the reference images, with their own captions."""
        assert self.reference_captions_path is not None
        alone = replace(self, reference_path=None, reference_captions_path=None, resolution=resolution)
        assert self.reference_path is not None
        return replace(alone, path=self.reference_path, captions_path=self.reference_captions_path)

    def find_captions(self, files: ImageFiles) -> Texts:
        """See `coco_captions`."""
        return coco_captions(existing(self.captions_path), files.names)
