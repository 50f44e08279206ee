"""What samples are compared with: computed once for a data set and an extractor, and cached under a hash."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curriculum_search.data import ImageSet, MemoryImages
from curriculum_search.evaluation.cache import digest, file_sha256, once_whole
from curriculum_search.evaluation.features import Extractor, Features
from curriculum_search.evaluation.frechet import Gaussian, Moments
from curriculum_search.evaluation.reference_files import holds_statistics, read_images, read_statistics

_FORMAT = 1  # of the cached files


class References:
    """Reference statistics and features, by extractor and file; kept in memory, and on disk under a hash.

    The hash is over all that decides the content: the images' fingerprint, number and shape, the extractor's checksum
    and the kind of statistics, or the user's file.  Nothing here is collective.

    Args:
        images: what is compared with where no file is named.
        features: the loaded extractors.
        folder: where the cached files are.
        device: where the extractors are.
        batch_size: images that go through an extractor together.
    """

    def __init__(
        self,
        images: ImageSet,
        features: Mapping[Extractor, Features],
        folder: Path,
        device: torch.device,
        batch_size: int,
    ) -> None:
        self.features = features
        self._images = images
        self._folder = folder
        self._device = device
        self._batch_size = batch_size
        self._files: dict[str, MemoryImages] = {}
        self._gaussians: dict[tuple[Extractor, str | None], Gaussian] = {}
        self._rows: dict[tuple[Extractor, str | None, int], Tensor] = {}
        self._similarities: dict[Extractor, Tensor] = {}

    def gaussian(self, extractor: Extractor, file: str | None) -> Gaussian:
        """Mean and covariance of the features of all reference images, or those in `file`.

        Raises:
            ValueError: the file does not fit; see `read_statistics`.
        """
        key = (extractor, file)
        if key not in self._gaussians:
            path = self._folder / f"{self._name(extractor, file, 'gaussian')}.npz"
            self._gaussians[key] = once_whole(path, lambda target: _save(target, self._compute(extractor, file)), _load)
        return self._gaussians[key]

    def rows(self, extractor: Extractor, file: str | None, count: int) -> Tensor:
        """Features float32 [n, d] of n = min(count, all) reference images, chosen at random once for all."""
        key = (extractor, file, count)
        if key not in self._rows:
            images = self._image_set(file)
            chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:count])

            def make(target: Path) -> None:
                rows = torch.cat([rows.cpu() for rows in self._extract(extractor, images, chosen)])
                with target.open("wb") as output:
                    np.savez(output, rows=rows.numpy())

            path = self._folder / f"{self._name(extractor, file, f'{len(chosen)} rows')}.npz"
            self._rows[key] = torch.from_numpy(once_whole(path, make, _load_rows)).to(self._device)
        return self._rows[key]

    def similarities(self, extractor: Extractor) -> Tensor:
        """How alike reference images are to their own captions and to others: see `Features.similarities`."""
        if extractor not in self._similarities:
            features, everything = self.features[extractor], np.arange(len(self._images))
            parts = []
            for start in range(0, len(everything), self._batch_size):
                images, condition = self._images.read(everything[start : start + self._batch_size])
                rows = features(images.to(self._device))
                parts.append(features.similarities(rows, condition.to(self._device)))
            self._similarities[extractor] = torch.cat(parts)
        return self._similarities[extractor]

    def words(self, extractor: Extractor, file: str | None, count: int | None = None) -> str:
        """What is compared with, in words: the images and the hash of the statistics, or of `count` features."""
        if self._has_statistics(file):
            assert file is not None
            return f"statistics in {file}, SHA-256 {file_sha256(Path(file).expanduser())[:12]}"
        images = self._image_set(file)
        used = len(images) if count is None else min(count, len(images))
        name = self._name(extractor, file, "gaussian" if count is None else f"{used} rows")
        return f"{used:,} of {len(images):,} images of {images.name} ({images.fingerprint[:12]}), features {name}"

    def _image_set(self, file: str | None) -> ImageSet:
        if file is None:
            return self._images
        if file not in self._files:
            self._files[file] = read_images(Path(file).expanduser())
        return self._files[file]

    def _has_statistics(self, file: str | None) -> bool:
        return file is not None and holds_statistics(Path(file).expanduser())

    def _name(self, extractor: Extractor, file: str | None, form: str) -> str:
        features = self.features[extractor]
        if form == "gaussian" and self._has_statistics(file):
            assert file is not None
            return digest(_FORMAT, file_sha256(Path(file).expanduser()), extractor.label, features.dimension)
        images = self._image_set(file)
        shape = (len(images), images.channels, images.resolution)
        return digest(_FORMAT, images.fingerprint, shape, features.checksum, form)

    def _compute(self, extractor: Extractor, file: str | None) -> Gaussian:
        if file is not None and self._has_statistics(file):
            mean, covariance = read_statistics(Path(file).expanduser(), extractor.label)
            check_dimension(Path(file), len(mean), extractor.label, self.features[extractor].dimension)
            try:
                return Gaussian.from_covariance(torch.from_numpy(mean), torch.from_numpy(covariance))
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from error
        images = self._image_set(file)
        moments = Moments(self.features[extractor].dimension, self._device)
        for rows in self._extract(extractor, images, np.arange(len(images))):
            moments.update(rows)
        return Gaussian.from_covariance(moments.mean(), moments.covariance(), len(images))

    @torch.no_grad()
    def _extract(self, extractor: Extractor, images: ImageSet, indices: NDArray[np.int64]) -> Iterator[Tensor]:
        features = self.features[extractor]
        for start in range(0, len(indices), self._batch_size):
            batch = features.stored(images, indices[start : start + self._batch_size])
            rows = features(batch.to(self._device))
            if not bool(torch.isfinite(rows).all()):
                raise ValueError(f"{features.words} gives features that are not finite for images of {images.name}")
            yield rows


def check_dimension(path: Path, found: int, extractor: str, dimension: int) -> None:
    """Raise ValueError where statistics of `found` features were given for an extractor of `dimension`."""
    if found != dimension:
        raise ValueError(f"{path} has statistics of {found} features; extractor {extractor} has {dimension}")


def _save(target: Path, gaussian: Gaussian) -> None:
    with target.open("wb") as file:
        np.savez(
            file,
            mean=gaussian.mean.numpy(),
            factor=gaussian.factor.numpy(),
            count=np.int64(gaussian.count),
        )


def _load(path: Path) -> Gaussian:
    with np.load(path, allow_pickle=False) as file:
        return Gaussian(
            mean=torch.from_numpy(file["mean"]),
            factor=torch.from_numpy(file["factor"]),
            count=int(file["count"]),
        )


def _load_rows(path: Path) -> NDArray[np.float32]:
    with np.load(path, allow_pickle=False) as file:
        rows: NDArray[np.float32] = file["rows"]
    return rows
