"""The captions that an image is compared with."""

import pytest
import torch
from support.conditions import of_classes

from curriculum_search.conditions import Captions
from curriculum_search.evaluation.features.matches import NUM_CAPTIONS, candidates, check_captions
from curriculum_search.text import SentenceEncoder


def captions(count: int, each: int = 2) -> Captions:
    return Captions([[f"{i // 2} says {k}" for k in range(each)] for i in range(count)], SentenceEncoder())


def test_each_caption_comes_first_and_nine_of_other_images_that_say_something_else_follow() -> None:
    some = captions(24)
    rows = candidates(some)
    assert rows[:, 0].tolist() == list(range(48))
    for row in rows.tolist():
        assert len({some.images[other] for other in row}) == NUM_CAPTIONS
        assert len({some.texts[other] for other in row}) == NUM_CAPTIONS
    assert torch.equal(rows, candidates(captions(24)))
    assert len(set(rows[:, 1].tolist())) > 30


def test_too_few_captions_and_none_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 10 images with different captions"):
        candidates(captions(9))
    with pytest.raises(ValueError, match="few has fewer than 10 different captions"):
        check_captions(captions(4), "few", "clip")
    with pytest.raises(ValueError, match="extractor clip compares images with captions, and few has 3 classes"):
        check_captions(of_classes(3), "few", "clip")
