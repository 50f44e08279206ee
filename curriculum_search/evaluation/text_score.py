"""Whether images show what their captions say."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from curriculum_search.data import ImageSet
from curriculum_search.direction import Direction
from curriculum_search.evaluation.evaluator import FeatureEvaluator
from curriculum_search.evaluation.evidence import Evidence, Form
from curriculum_search.evaluation.features import Extractor, WordsAndImages
from curriculum_search.evaluation.features.matches import NUM_CAPTIONS
from curriculum_search.evaluation.reference import References


@dataclass(frozen=True, kw_only=True)
class TextScore(FeatureEvaluator):
    """How well samples fit the held-out captions that they were made for, as a model of images and text sees it.

    ``retrieval10_<extractor>_<samples>`` is the share of samples whose own caption is likelier than nine others, which
    are those of other images of the reference, chosen once for all; chance is 0.1.  ``score_<extractor>_<samples>`` is
    the mean cosine of image and caption, times 100 and at least 0: with extractor clip the CLIP score (Hessel et al.
    2021, arXiv 2104.08718).  The protocol says what the reference's own images have.
    """

    direction: ClassVar[Direction] = Direction.MAXIMIZE

    kind: Literal["text_score"] = "text_score"
    extractor: Extractor = field(default_factory=WordsAndImages)

    _form: ClassVar[Form] = "similarities"

    @property
    def names(self) -> tuple[str, ...]:
        return self._name(f"retrieval{NUM_CAPTIONS}"), self._name("score")

    def check(self, train: ImageSet, reference: ImageSet) -> None:
        super().check(train, reference)
        if not self.extractor.knows_captions:
            raise ValueError(
                f"extractor of evaluator text_score must know captions, as words_and_images and clip do, and "
                f"{self.extractor.label} does not"
            )

    def words(self, references: References) -> str:
        real = dict(zip(self.names, text_scores(references.similarities(self.extractor)), strict=True))
        values = ", ".join(f"{name} {value:.4g}" for name, value in real.items())
        return f"{super().words(references)}; the reference's own images have {values}; chance {1 / NUM_CAPTIONS:g}"

    def evaluate(self, evidence: Evidence) -> Iterator[tuple[str, float]]:
        yield from zip(self.names, text_scores(evidence.rows[self._need]), strict=True)


def text_scores(similarities: Tensor) -> tuple[float, float]:
    """The share of images whose own caption is likelier than all others, and 100 times the mean of its cosine.

    A tie counts as not found.

    Args:
        similarities: [images, captions], that of the own caption first.
    """
    own, others = similarities[:, 0], similarities[:, 1:]
    found = (own > others.amax(1)).to(torch.float64).mean()
    return float(found), float(100 * own.clamp(min=0).to(torch.float64).mean())
