"""Which captions an image is compared with, and how alike it is to them."""

import numpy as np
import torch
from torch import Tensor

from curriculum_search.conditions import Captions, Condition, Conditions, TextCondition

NUM_CAPTIONS = 10


def candidates(captions: Captions) -> Tensor:
    """For each caption of a set the rows of itself and of nine others, int64 [captions, 10].

    The others belong to other images, and say something else.  They are chosen once for all.

    Raises:
        ValueError: there are too few different ones.
    """
    images, texts = captions.images, np.array(captions.texts)
    order = np.argsort(np.random.PCG64(0).random_raw(len(texts)), kind="stable")
    rows = np.empty((len(texts), NUM_CAPTIONS), np.int64)
    for place, row in enumerate(order.tolist()):
        chosen = [row]
        for step in range(1, len(order)):  # those that follow it in an order without meaning
            other = int(order[(place + step) % len(order)])
            if all(images[other] != images[known] and texts[other] != texts[known] for known in chosen):
                chosen.append(other)
                if len(chosen) == NUM_CAPTIONS:
                    break
        if len(chosen) < NUM_CAPTIONS:
            raise ValueError(f"an image-text score needs {NUM_CAPTIONS} images with different captions")
        rows[row] = chosen
    return torch.from_numpy(rows)


def check_captions(conditions: Conditions, name: str, extractor: str) -> Captions:
    """The captions of the reference `name`.

    Raises:
        ValueError: it has none, or too few.
    """
    if not isinstance(conditions, Captions):
        raise ValueError(f"extractor {extractor} compares images with captions, and {name} has {conditions.words}")
    if len(set(conditions.texts)) < NUM_CAPTIONS:
        raise ValueError(
            f"{name} has fewer than {NUM_CAPTIONS} different captions, of which extractor {extractor} needs"
        )
    return conditions


class Matcher:
    """Compares images with captions of the reference.

    Args:
        captions: of the reference.
        embedded: float [captions, d], each of length 1.
    """

    def __init__(self, captions: Captions, embedded: Tensor) -> None:
        self._candidates = candidates(captions).to(embedded.device)
        self._embedded = embedded
        self.num_captions = NUM_CAPTIONS

    def similarities(self, features: Tensor, condition: Condition) -> Tensor:
        """See `Features.similarities`; features are float [B, d] of length 1."""
        assert isinstance(condition, TextCondition)
        captions = self._embedded[self._candidates[condition.rows]]
        return torch.einsum("bd,bnd->bn", features, captions.to(features.dtype)).float()
