"""What a metric is to an evaluation: a plug-in that says what it needs and yields (name, value).

One of your own is a frozen dataclass that derives from `Evaluator` and has a ``kind``; `InceptionScore` is a short one.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from curriculum_search.config import Kinded
from curriculum_search.data import ImageSet
from curriculum_search.direction import Direction
from curriculum_search.evaluation.evidence import Evidence, Form, Need
from curriculum_search.evaluation.features import Classifier, Extractor, describe
from curriculum_search.evaluation.generation import MAX_SAMPLES
from curriculum_search.evaluation.reference import References


class Evaluator(Kinded):
    """A metric, or a few that belong together."""

    direction: ClassVar[Direction] = Direction.MINIMIZE
    """Whether less or more of its values is better."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of the values, in the order in which they are yielded."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """What is kept while samples are generated."""
        return ()

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        """Quickly find what would fail later; nothing by default.

        Raises:
            ValueError, FileNotFoundError: what is wrong, and what to do.
        """

    def words(self, references: References) -> str:
        """How the values come about, for the protocol."""
        return describe(self)

    @abstractmethod
    def evaluate(self, evidence: Evidence) -> Iterator[tuple[str, float]]:
        """Yield (name, value) for each of `names`."""


@dataclass(frozen=True, kw_only=True)
class FeatureEvaluator(Evaluator):
    """What metrics on features have in common.

    Attributes:
        extractor: gives the features.
        num_samples: generated images; part of every name, since values at different numbers cannot be compared.
    """

    extractor: Extractor = field(default_factory=Classifier)
    num_samples: int = 1_000

    _form: ClassVar[Form]

    def __post_init__(self) -> None:
        if not 2 <= self.num_samples <= MAX_SAMPLES:
            raise ValueError(f"num_samples must be in 2..{MAX_SAMPLES}, not {self.num_samples}")

    @property
    def needs(self) -> tuple[Need, ...]:
        return (self._need,)

    @property
    def _need(self) -> Need:
        return Need(extractor=self.extractor, num_samples=self.num_samples, form=self._form)

    def _name(self, metric: str) -> str:
        return f"{metric}_{self.extractor.label}_{compact(self.num_samples)}"

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        self.extractor.check(train, reference)

    def words(self, references: References) -> str:
        return f"{self.num_samples:,} samples, {references.features[self.extractor].words}"


def compact(count: int) -> str:
    """A sample count for a metric's name: 500, 1k, 50k."""
    return f"{count // 1_000}k" if count % 1_000 == 0 else str(count)
