"""Models are told of the conditions that they take, and say which kinds go together where the data have others."""

from pathlib import Path

import numpy as np
import pytest
from support.captioned import captions_of_digits
from support.conditions import of_classes

from curriculum_search.conditions import Classes, Unconditioned
from curriculum_search.models.conditions import captions_of, count_classes
from curriculum_search.text import SentenceEncoder


def test_models_are_told_the_number_of_classes() -> None:
    assert count_classes(Classes(np.array([0, 4])), "dit") == 5
    assert count_classes(Unconditioned(), "dit") == 0


def test_models_are_told_the_captions(tmp_path: Path) -> None:
    captions = captions_of_digits(SentenceEncoder(), tmp_path)
    assert captions_of(captions, "pixart") is captions


def test_where_they_do_not_go_together_the_kinds_that_do_are_named(tmp_path: Path) -> None:
    captions = captions_of_digits(SentenceEncoder(), tmp_path)
    message = r"80 captions \(2 an image, sentence encoder\); model kinds pixart and text_dit take captions$"
    with pytest.raises(
        ValueError, match=rf"^model kind dit is conditioned on classes or on nothing, .* have {message}"
    ):
        count_classes(captions, "dit")
    kinds = "captioned_folder, captioned_latents, captioned_webdataset and coco"
    with pytest.raises(
        ValueError, match=rf"^model kind pixart .* have 3 classes .*; data kinds {kinds} have captions$"
    ):
        captions_of(of_classes(3), "pixart")
