"""Images that an autoencoder has encoded before: a set of latents, and the sources that read them."""

import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from curriculum_search.config import later
from curriculum_search.data.array import Array
from curriculum_search.data.folder import Folder
from curriculum_search.data.images import DataSource, ImageSet, Indices, existing, file_stamp
from curriculum_search.data.latent_files import LatentFiles, Layout, find_latents, read_labels, stamped
from curriculum_search.data.zip_archive import Zip

_LOOKED_AT = 64  # latents, by a check
_LOG_VARIANCES = (-30.0, 20.0)  # to which diffusers and Stable Diffusion clip them


class LatentSet(ImageSet):
    """Latents of images, without the factor that a network sees them with.

    `read` gives them as float [B, C, H, W], or [B, 2, C, H, W] where the mean and standard deviation of each are known.
    With twins, which are of the mirrored images, the set is twice as long.

    Attributes:
        provenance: how they came about, of those that jobs/encode.py wrote.
    """

    encoded = True

    def __init__(self, name: str, files: LatentFiles, layout: Layout, scale: float, fingerprint: str) -> None:
        self._rows, self._twins = files.rows, files.twins
        self._layout, self._scale = layout, scale
        self.provenance: Mapping[str, Any] = files.provenance
        self.in_memory = files.rows.in_memory
        copies = 1 if files.twins is None else 2
        channels, height, _ = files.rows.shape
        super().__init__(
            name=name,
            length=copies * len(files.rows),
            channels=channels if layout == "sample" else channels // 2,
            resolution=height,
            labels=None if files.labels is None else np.tile(files.labels, copies),
            fingerprint=fingerprint,
        )

    @property
    def num_bytes(self) -> int:
        """The size of all latents as they are stored."""
        return len(self) * int(np.prod(self._rows.shape)) * self._rows.dtype.itemsize

    @property
    def summary(self) -> str:
        """See `ImageSet.summary`."""
        shape = f"{self.channels}x{self.resolution}x{self.resolution}"
        known = "" if self._layout == "sample" else ", mean and standard deviation"
        halves = "" if self._twins is None else ", half of them of mirrored images"
        return f"{self.name}: {len(self):,} latents of {shape}{known}{halves}; {self.conditions.words}"

    def _read(self, indices: Indices) -> NDArray[Any]:
        count = len(self._rows)
        values = self._rows.read(indices % count)
        if self._twins is not None and len(later := np.flatnonzero(indices >= count)):
            values[later] = self._twins.read(indices[later] - count)
        if self._layout != "sample":
            values = values.reshape(len(values), 2, self.channels, self.resolution, self.resolution)
        if self._layout == "mean_logvar":
            values = values.astype(np.float32)
            values[:, 1] = np.exp(0.5 * np.clip(values[:, 1], *_LOG_VARIANCES))
        if self._scale != 1:
            values = values.astype(np.float32) / np.float32(self._scale)
        return values


@dataclass(frozen=True, kw_only=True)
class LatentSource(DataSource):
    """What sources of latents have in common: everything but what belongs to each latent.

    Latents are in any of the forms of `data.latent_files`, and mapped where they lie.

    Attributes:
        path: of the file or folder.
        layout: what the channels are: `sample` (latents, drawn or expected), `mean_std` or `mean_logvar` (mean, then
            standard deviation or log-variance, of which a new latent is drawn each time); null: as the form says.
        scale: what the stored latents have been multiplied by, which is taken off; null: as the form says.
        use_twins: use what was encoded of the mirrored images too, where it is stored.
        reference_path: the images that samples are compared with: a folder, zip, .npz or .npy; null: those that the
            latents were made of, where jobs/encode.py wrote that down, else there is nothing but latents to compare.
        reference_resolution: to which these are cropped and scaled; null: they have theirs.
        reference_latents_path: latents that samples are compared with in place of images, by extractor ``latents``: in
            any of the forms of `path`, with the same layout and scale; `path` itself for the training latents.
    """

    path: str
    layout: Layout | None = None
    scale: float | None = None
    use_twins: bool = True
    reference_path: str | None = None
    reference_resolution: int | None = None  # pixels
    reference_latents_path: str | None = later(None)

    def __post_init__(self) -> None:
        if self.layout is not None and self.layout not in get_args(Layout):
            raise ValueError(f"layout must be {', '.join(get_args(Layout))} or null, not {self.layout}")
        if self.scale is not None and not self.scale > 0:
            raise ValueError(f"scale must be above 0 or null, not {self.scale}")
        if self.reference_resolution is not None and self.reference_resolution < 1:
            raise ValueError(f"reference_resolution must be at least 1, not {self.reference_resolution}")
        if self.reference_latents_path is not None and self.reference_path is not None:
            raise ValueError(
                "reference_latents_path must be null where reference_path names images to compare with, not "
                f"{self.reference_latents_path!r}"
            )

    @property
    def where(self) -> str:
        """The paths of the latents and of the reference."""
        return ", ".join(filter(None, (self.path, self.reference_path, self.reference_latents_path)))

    def documents(self) -> list[Path]:
        """The files of what belongs to each latent, where they are not among the latents."""
        return []

    def stamp(self) -> str:
        """Sizes and times of change of the files, or of the folder where each latent has one."""
        others = [*self.documents(), *([existing(self.reference_path)] if self.reference_path else [])]
        own = " ".join(file_stamp(each) for each in (*stamped(existing(self.path)), *others))
        return own if self.reference_latents_path is None else f"{own} {self._reference_latents().stamp()}"

    def check(self) -> None:
        """Look at the form, the labels and some of the latents, and find the reference."""
        latents = self.load()
        chosen = np.unique(np.linspace(0, len(latents) - 1, _LOOKED_AT).astype(np.int64))
        values = latents.stored(chosen).numpy()
        if len(bad := chosen[~np.isfinite(values).reshape(len(values), -1).all(1)]):
            raise ValueError(
                f"{self.path}: {len(bad)} of {len(chosen)} latents that were looked at are not finite, as number "
                f"{bad[0]}: encode these images again (half precision overflows beyond 65,504), or take them out"
            )
        self.reference()

    def reference_images(self) -> ImageSet:
        """The images that samples are compared with, or the latents where these are named or there are no images."""
        if self.reference_latents_path is not None:
            return self._reference_latents().load_images()
        if self.reference_path is not None:
            return self.image_source(self.reference_path).load_images()
        latents = self.load()
        assert isinstance(latents, LatentSet)
        if (source := latents.provenance.get("source")) is None:
            return latents
        try:
            return self.as_encoded(DataSource.from_dict(source)).reference_images()
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(
                f"{self.path} was encoded from images that cannot be read ({error}); data.reference_path names others"
            ) from error

    def _reference_latents(self) -> "LatentSource":
        """The source of the latents at `reference_latents_path`."""
        assert self.reference_latents_path is not None
        if self.reference_latents_path == self.path:
            return replace(self, reference_latents_path=None)
        return self.elsewhere(self.reference_latents_path)

    @abstractmethod
    def elsewhere(self, path: str) -> "LatentSource":
        """The source of other latents of the same kind, at `path`, with what belongs to each beside them."""

    def image_source(self, path: str) -> DataSource:
        """The source of the images at `reference_path`."""
        return _image_source(path, self.reference_resolution)

    def as_encoded(self, source: DataSource) -> DataSource:
        """The source of the images that the latents were made of, as jobs/encode.py wrote it down, for this source."""
        return source

    def labels_of(self, files: LatentFiles) -> Indices | None:
        """The classes, int64 [N]; None: there are none."""
        return None

    def make_set(self, name: str, files: LatentFiles, layout: Layout, scale: float, fingerprint: str) -> LatentSet:
        """The latents, with what belongs to each."""
        return LatentSet(name, files, layout, scale, fingerprint)

    def load_images(self) -> LatentSet:
        """The latents."""
        path = existing(self.path)
        files = find_latents(path)
        layout = self.layout or files.layout
        shape = list(files.rows.shape)
        if len(shape) != 3 or shape[1] != shape[2] or not np.issubdtype(files.rows.dtype, np.floating):
            raise ValueError(
                f"{self.path}: latents must be square floats [C, H, H], not {files.rows.dtype} {shape}: "
                f"{_remedy(shape, files.rows.dtype)}"
            )
        if layout is None:
            raise ValueError(
                f"{self.path}: layout must say what the {shape[0]} channels are: sample, mean_std or mean_logvar"
            )
        if layout != "sample":
            self._check_deviations(files, layout)
        labels = self.labels_of(files)
        used = LatentFiles(
            rows=files.rows,
            twins=files.twins if self.use_twins else None,
            labels=labels,
            provenance=files.provenance,
        )
        scale = files.scale if self.scale is None else self.scale
        digest = hashlib.sha256(f"{self.stamp()} {layout} {scale} {self.use_twins}".encode())
        digest.update(b"" if labels is None else labels.tobytes())
        name = f"{path.stem} {shape[1]}x{shape[2]}"
        return self.make_set(name, used, layout, scale, digest.hexdigest()[:16])

    def _check_deviations(self, files: LatentFiles, layout: Layout) -> None:
        """Whether the second half of the channels can be what the layout says."""
        channels = files.rows.shape[0]
        if channels % 2:
            raise ValueError(
                f"{self.path}: layout {layout} takes an even number of channels, mean and deviation, not {channels}"
            )
        chosen = np.unique(np.linspace(0, len(files.rows) - 1, _LOOKED_AT).astype(np.int64))
        second = files.rows.read(chosen)[:, channels // 2 :]
        if layout == "mean_std" and bool((second < 0).any()):
            raise ValueError(
                f"{self.path}: the second half of the channels has negative values, so they are no standard "
                "deviations; layout: mean_logvar, or sample, may be meant"
            )
        if layout == "mean_logvar" and bool((second > 0).all()):
            raise ValueError(
                f"{self.path}: the second half of the channels is all positive, as standard deviations are and "
                "log-variances of an autoencoder are not; layout: mean_std, or sample, may be meant"
            )


@dataclass(frozen=True, kw_only=True)
class Latents(LatentSource):
    """Latents that were encoded before, with classes or without.

    Attributes:
        labels_path: labels of an ``.npy``, int64 [N], in one of their own.
        use_labels: false trains without.
    """

    kind: Literal["latents"] = "latents"
    labels_path: str | None = None
    use_labels: bool = True

    def documents(self) -> list[Path]:
        """The file of the labels, if they have one of their own."""
        return [existing(self.labels_path)] if self.labels_path else []

    def elsewhere(self, path: str) -> "Latents":
        """See `LatentSource`; classes are known of forms that have them inside."""
        return replace(self, path=path, labels_path=None, reference_latents_path=None)

    def labels_of(self, files: LatentFiles) -> Indices | None:
        """See `LatentSource`."""
        if self.use_labels and self.labels_path is not None:
            return read_labels(existing(self.labels_path), len(files.rows))
        return files.labels if self.use_labels else None


def _remedy(shape: list[int], dtype: np.dtype[Any]) -> str:
    """What to do about rows that cannot be latents."""
    if not np.issubdtype(dtype, np.floating):
        return "these are images, it seems, which data.kind array, folder or zip reads, and encoder vae encodes"
    if len(shape) != 3:
        return "data.path is to have one such array for each image, channels first"
    return "crop the images to squares before they are encoded, as jobs/encode.py does with data.crop"


def _image_source(path: str, resolution: int | None) -> DataSource:
    found = existing(path)
    if found.suffix in (".npz", ".npy"):
        return Array(path=path, use_labels=False, resolution=resolution)
    source: type[Zip] | type[Folder] = Zip if found.suffix == ".zip" else Folder
    crop: Literal["none", "center"] = "none" if resolution is None else "center"
    return source(path=path, use_labels=False, resolution=resolution, crop=crop)
