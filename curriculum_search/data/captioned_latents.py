"""Latents of captioned images: the data of text-to-image models at the paper's scale."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curriculum_search.atomic import write_whole
from curriculum_search.conditions import Captions
from curriculum_search.data.captioned import Captioned, CaptionedFolder, CaptionedSet, CaptionedSource
from curriculum_search.data.captions import Texts, coco_captions
from curriculum_search.data.images import DataSource, existing
from curriculum_search.data.latent_files import LatentFiles, Layout
from curriculum_search.data.latents import LatentSet, LatentSource

CAPTIONS = "captions.json"


def write_captions(folder: Path, captions: Captions) -> None:
    """Write the captions of each image, in the set's order, where `CaptionedLatents` finds them."""
    texts, path = iter(captions.texts), folder / CAPTIONS
    text = json.dumps([[next(texts) for _ in range(count)] for count in captions.counts.tolist()])
    if not path.is_file() or path.read_text() != text:  # What is written again are other data, by the file's time.
        write_whole(path, text)


class CaptionedLatentSet(CaptionedSet, LatentSet):
    """Latents, and captions that they are conditioned on."""


@dataclass(frozen=True, kw_only=True)
class CaptionedLatents(Captioned, LatentSource):
    """Latents that were encoded before, with the captions of their images, some for each.

    The captions are in a file of JSON beside the latents, as jobs/encode.py writes it: a list with a list of captions
    for each latent, in their order.  Or they are in COCO's, and the latents in the order of its ids, as U-ViT's are.

    Attributes:
        captions_path: of that file, or ``captions_train2014.json`` or the like; null: ``captions.json`` in the folder
            of the latents.
    """

    kind: Literal["captioned_latents"] = "captioned_latents"
    captions_path: str | None = None

    def documents(self) -> list[Path]:
        """The file of the captions.

        Raises:
            ValueError: it is not there.
        """
        document = existing(self.path) / CAPTIONS if self.captions_path is None else existing(self.captions_path)
        if not document.is_file():
            raise ValueError(f"{document} is not there: the captions of the latents; data.captions_path names another")
        return [document]

    def make_set(self, name: str, files: LatentFiles, layout: Layout, scale: float, fingerprint: str) -> LatentSet:
        """The latents, with their captions; those of a mirrored image are its twin's."""
        (document,) = self.documents()
        texts = _read(document, len(files.rows))
        copies = 1 if files.twins is None else 2
        captions = self.captions([*texts] * copies)
        return CaptionedLatentSet(captions, name, files, layout, scale, f"{fingerprint[:8]}{captions.digest[:8]}")

    def elsewhere(self, path: str) -> "CaptionedLatents":
        """See `LatentSource`; their captions are beside them."""
        return dataclasses.replace(self, path=path, captions_path=None, reference_latents_path=None)

    def image_source(self, path: str) -> DataSource:
        """A folder of captioned images."""
        return CaptionedFolder(
            path=path,
            resolution=self.reference_resolution,
            crop="none" if self.reference_resolution is None else "center",
            text_encoder=self.text_encoder,
            encoded_path=self.encoded_path,
        )

    def as_encoded(self, source: DataSource) -> DataSource:
        """The images with their captions as this source's text encoder has them."""
        if not isinstance(source, CaptionedSource):
            raise ValueError(f"they are of kind {source.to_dict()['kind']}, which has no captions")
        return dataclasses.replace(source, text_encoder=self.text_encoder, encoded_path=self.encoded_path)


def _read(document: Path, count: int) -> Texts:
    wanted = "a list with a list of captions for each latent"
    try:
        content = json.loads(document.read_text())
    except ValueError as error:
        raise ValueError(f"{document}: {error}; it must be {wanted}") from error
    if isinstance(content, dict) and "annotations" in content:
        texts = coco_captions(document)
        if len(texts) != count:
            raise ValueError(f"{document}: has captions of {len(texts):,} images, and there are {count:,} latents")
        return texts
    if not isinstance(content, list) or len(content) != count:
        given = f"a list of {len(content):,}" if isinstance(content, list) else type(content).__name__
        raise ValueError(f"{document}: is {given}, and there are {count:,} latents; it must be {wanted}")
    for row, some in enumerate(content):
        if not (isinstance(some, list) and some and all(isinstance(text, str) and text.strip() for text in some)):
            raise ValueError(f"{document}: latent {row} has {some!r}; it must be {wanted}")
    return [tuple(some) for some in content]
