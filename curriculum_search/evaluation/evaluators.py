"""The metrics that come with the project."""

import itertools
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch

from curriculum_search.data import ImageSet
from curriculum_search.direction import Direction
from curriculum_search.evaluation.evaluator import Evaluator, FeatureEvaluator, compact
from curriculum_search.evaluation.evidence import Evidence, Form
from curriculum_search.evaluation.features import Extractor
from curriculum_search.evaluation.frechet import check_gaussian, frechet_distance
from curriculum_search.evaluation.inception_score import inception_score
from curriculum_search.evaluation.kernel import kernel_distance
from curriculum_search.evaluation.precision_recall import precision_recall
from curriculum_search.evaluation.reference import References, check_dimension
from curriculum_search.evaluation.reference_files import holds_statistics, read_images, read_statistics


@dataclass(frozen=True, kw_only=True)
class Frechet(FeatureEvaluator):
    """The Frechet distance: ``fid50k`` for the original Inception, else ``fd_<extractor>_<samples>``.

    Attributes:
        reference_file: statistics or images to compare with, in the formats of EDM, EDM2, ADM,
            clean-fid and pytorch-fid, instead of the data's own.
    """

    kind: Literal["frechet"] = "frechet"
    reference_file: str | None = None

    _form: ClassVar[Form] = "moments"

    @property
    def names(self) -> tuple[str, ...]:
        if self.extractor.label == "inception":
            return (f"fid{compact(self.num_samples)}",)
        return (self._name("fd"),)

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        super().check(train, reference)
        dimension = self.extractor.dimension(reference)
        _check_file(self.reference_file, self.extractor)
        if self.num_samples <= dimension:
            warnings.warn(
                f"{self.names[0]}: {self.num_samples} samples do not fill {dimension} dimensions. Their covariance is "
                "flat in the missing directions, which makes the distance larger than it is, by an amount that differs "
                f"between models: use more than {dimension} samples (ten times as many to be safe) or fewer features",
                stacklevel=2,
            )
        with _naming(self.reference_file):
            if self.reference_file is not None and holds_statistics(path := Path(self.reference_file).expanduser()):
                self._check_statistics(path, dimension)
            elif len(images := compared_with(self.reference_file, reference, self.extractor)) < 2:
                raise ValueError(f"{images.name} has one image, and evaluator frechet needs 2 for a covariance")

    def _check_statistics(self, path: Path, dimension: int) -> None:
        mean, covariance = read_statistics(path, self.extractor.label)
        check_dimension(path, len(mean), self.extractor.label, dimension)
        try:
            check_gaussian(torch.from_numpy(mean), torch.from_numpy(covariance))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def words(self, references: References) -> str:
        return f"{super().words(references)}, against {references.words(self.extractor, self.reference_file)}"

    def evaluate(self, evidence: Evidence) -> Iterator[tuple[str, float]]:
        samples = evidence.moments[self._need]
        reference = evidence.references.gaussian(self.extractor, self.reference_file)
        yield self.names[0], frechet_distance(reference, samples.mean(), samples.covariance(), samples.count)


@dataclass(frozen=True, kw_only=True)
class Neighbourhood(FeatureEvaluator):
    """What metrics that need the reference's images, not only their statistics, have in common.

    Attributes:
        reference_file: images to compare with (ADM's ``.npz``) instead of the data's own.
    """

    reference_file: str | None = None

    _form: ClassVar[Form] = "features"

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        super().check(train, reference)
        _check_file(self.reference_file, self.extractor)
        with _naming(self.reference_file):
            self.check_count(compared_with(self.reference_file, reference, self.extractor))

    @abstractmethod
    def check_count(self, images: ImageSet) -> None:
        """Raise ValueError where there are too few `images` to compare with."""

    def words(self, references: References) -> str:
        against = references.words(self.extractor, self.reference_file, self.num_samples)
        return f"{super().words(references)}, against {against}"


@dataclass(frozen=True, kw_only=True)
class KernelDistance(Neighbourhood):
    """The kernel distance (KID) and its spread over subsets: ``kid_<extractor>_<samples>`` and ``..._spread``.

    Unbiased, so its expectation does not depend on the number of samples; it can be negative.

    Attributes:
        num_subsets: pairs of random subsets; the value is their mean, the spread their standard deviation.
        subset_size: images of each, at most `num_samples` and the reference's size.
    """

    kind: Literal["kid"] = "kid"
    num_subsets: int = 20
    subset_size: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_subsets < 1:
            raise ValueError(f"num_subsets must be at least 1, not {self.num_subsets}")
        if not 2 <= self.subset_size <= self.num_samples:
            raise ValueError(f"subset_size must be in 2..num_samples ({self.num_samples}), not {self.subset_size}")

    @property
    def names(self) -> tuple[str, ...]:
        name = self._name("kid")
        return name, f"{name}_spread"

    def check_count(self, images: ImageSet) -> None:
        if len(images) < self.subset_size:
            raise ValueError(
                f"subset_size of evaluator kid must be at most the {len(images)} images of the reference, "
                f"not {self.subset_size} ({images.name})"
            )

    def evaluate(self, evidence: Evidence) -> Iterator[tuple[str, float]]:
        values = kernel_distance(
            evidence.references.rows(self.extractor, self.reference_file, self.num_samples),
            evidence.rows[self._need],
            num_subsets=self.num_subsets,
            subset_size=self.subset_size,
        )
        yield from zip(self.names, values, strict=True)


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall(Neighbourhood):
    """``precision_<extractor>_<samples>`` (are samples realistic) and ``recall_...`` (is all of the data covered).

    Attributes:
        num_neighbours: reach of a manifold's balls.
    """

    direction: ClassVar[Direction] = Direction.MAXIMIZE

    kind: Literal["precision_recall"] = "precision_recall"
    num_neighbours: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.num_neighbours < self.num_samples:
            raise ValueError(f"num_neighbours must be in 1..num_samples - 1, not {self.num_neighbours}")

    @property
    def names(self) -> tuple[str, ...]:
        return self._name("precision"), self._name("recall")

    def check_count(self, images: ImageSet) -> None:
        if len(images) <= self.num_neighbours:
            raise ValueError(
                f"num_neighbours of evaluator precision_recall must be less than the {len(images)} images of the "
                f"reference, not {self.num_neighbours} ({images.name})"
            )

    def evaluate(self, evidence: Evidence) -> Iterator[tuple[str, float]]:
        reference = evidence.references.rows(self.extractor, self.reference_file, self.num_samples)
        values = precision_recall(reference, evidence.rows[self._need], num_neighbours=self.num_neighbours)
        yield from zip(self.names, values, strict=True)


@dataclass(frozen=True, kw_only=True)
class InceptionScore(FeatureEvaluator):
    """The Inception Score and its spread over splits: ``is_<extractor>_<samples>`` and ``..._spread``.

    It looks at samples only, not at a reference.

    Attributes:
        num_splits: parts whose scores are averaged.
    """

    direction: ClassVar[Direction] = Direction.MAXIMIZE

    kind: Literal["inception_score"] = "inception_score"
    num_splits: int = 10

    _form: ClassVar[Form] = "probabilities"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.num_splits <= self.num_samples:
            raise ValueError(f"num_splits must be in 1..num_samples ({self.num_samples}), not {self.num_splits}")

    @property
    def names(self) -> tuple[str, ...]:
        name = self._name("is")
        return name, f"{name}_spread"

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        super().check(train, reference)
        if not self.extractor.tells_classes:
            raise ValueError(
                f"extractor of evaluator inception_score must tell classes, and {self.extractor.label} does not"
            )

    def evaluate(self, evidence: Evidence) -> Iterator[tuple[str, float]]:
        yield from zip(self.names, inception_score(evidence.rows[self._need], num_splits=self.num_splits), strict=True)


@dataclass(frozen=True, kw_only=True)
class ValidationLoss(Evaluator):
    """The unweighted loss on a fixed bank: ``val_loss``, and ``val_loss_q<from>-<to>`` for each interval of q.

    The intervals are equally wide in the noise quantile and do not depend on the curriculum, whose clusters differ
    between trials; q = 0 is clean.

    Attributes:
        num_images: reference images in the bank.
        num_levels: noise levels, a multiple of `num_intervals`.
        num_intervals: intervals of q that are reported one by one.
    """

    kind: Literal["val_loss"] = "val_loss"
    num_images: int = 16
    num_levels: int = 10
    num_intervals: int = 10

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise ValueError(f"num_images must be at least 1, not {self.num_images}")
        if self.num_intervals < 1 or self.num_levels < 1 or self.num_levels % self.num_intervals:
            raise ValueError(
                f"num_levels must be a multiple of num_intervals ({self.num_intervals}), not {self.num_levels}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        edges = [f"{i / self.num_intervals:.4g}" for i in range(self.num_intervals + 1)]
        return ("val_loss", *(f"val_loss_q{a}-{b}" for a, b in itertools.pairwise(edges)))

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        if self.num_images > len(reference):
            raise ValueError(
                f"num_images of evaluator val_loss must be at most the {len(reference)} images of the reference, "
                f"not {self.num_images} ({reference.name})"
            )

    def evaluate(self, evidence: Evidence) -> Iterator[tuple[str, float]]:
        losses = evidence.bank_losses(self.num_images, self.num_levels)
        intervals = losses.view(self.num_intervals, -1).mean(1)
        yield from zip(self.names, torch.cat([losses.mean()[None], intervals]).tolist(), strict=True)


def compared_with(file: str | None, reference: ImageSet, extractor: Extractor) -> ImageSet:
    """The images of an evaluator's own reference file, where it has one, else the data's.

    Raises:
        ValueError, FileNotFoundError: the file has none, or of another shape than the data's, or not what the extractor
            looks at.
    """
    if file is None:
        if reference.encoded and not extractor.of_latents:
            raise ValueError(
                f"{reference.name} has latents and no images to compare samples with: give data.reference_path, "
                "or in this evaluator's reference_file"
            )
        return reference
    images = read_images(Path(file).expanduser())
    if reference.encoded:
        return images
    found, needed = ((s.channels, s.resolution, s.resolution) for s in (images, reference))
    if found != needed:
        raise ValueError(f"{images.name} has images of shape {found}, the data {needed}")
    return images


def _check_file(file: str | None, extractor: Extractor) -> None:
    """Raise ValueError where an evaluator has a reference file and looks at latents, of which such files have none."""
    if file is not None and extractor.of_latents:
        raise ValueError(
            f"reference_file must be null with extractor {extractor.to_dict()['kind']}, not {file}: it compares with "
            "the latents of data.reference_latents_path"
        )


@contextmanager
def _naming(reference_file: str | None) -> Iterator[None]:
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise (error if reference_file is None else type(error)(f"reference_file: {error}")) from error
