"""Captions as conditions: which of several is seen, what is dropped, and what samples are made for."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from support.captioned import captions_of_digits, save_bert

from curriculum_search.conditions import Captions, Unconditioned
from curriculum_search.data import DataOrder
from curriculum_search.text import SentenceEncoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> SentenceEncoder:
    return SentenceEncoder(path=save_bert(tmp_path_factory.mktemp("conditions") / "bert"))


@pytest.fixture(scope="module")
def captions(encoder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> Captions:
    return captions_of_digits(encoder, tmp_path_factory.mktemp("encoded"))


def test_an_image_has_its_own_captions_and_the_first_where_nothing_is_drawn(captions: Captions) -> None:
    indices = np.array([7, 0, 7])
    assert captions.of(indices).rows.tolist() == [14, 0, 14]
    assert captions.titles(captions.of(indices)) == ("the digit seven", "the digit zero", "the digit seven")
    draws = np.array([0, 1, 2**64 - 1], np.uint64)
    assert captions.drawn(indices, draws).rows.tolist() == [14, 1, 15]
    assert captions.images[captions.drawn(indices, draws).rows.numpy()].tolist() == [7, 0, 7]


def test_every_caption_is_drawn_about_as_often(captions: Captions) -> None:
    order = DataOrder(40, seed=0)
    rows = captions.rows_drawn(order.indices(0, 4000), order.draws(0, 4000))
    counts = Counter(rows.tolist())
    assert len(counts) == 80
    assert sum(counts[row] for row in range(0, 80, 2)) == pytest.approx(2000, abs=150)


def test_samples_are_of_the_references_captions_and_each_depends_on_its_own_generator(
    captions: Captions, encoder: SentenceEncoder, tmp_path: Path
) -> None:
    held_out = Captions([("a nine",), ("the digit three", "a three")], encoder, tmp_path)
    assert captions.for_samples(held_out) is held_out
    drawn = held_out.draw([torch.Generator().manual_seed(i) for i in range(30)])
    again = held_out.draw([torch.Generator().manual_seed(i) for i in (5, 2)])
    assert set(drawn.rows.tolist()) == {0, 1, 2}
    assert again.rows.tolist() == drawn.rows[[5, 2]].tolist()
    assert held_out.draws("held-out") == "captions of held-out, each as often"


def test_prompts_are_encoded_like_captions(captions: Captions) -> None:
    captions.check_prompts(["the digit seven"])
    found, known = captions.prompted(["the digit seven", "a two"]), captions.of(np.array([7]))
    assert torch.equal(found.tokens[0][found.mask[0]], known.tokens[0][known.mask[0]])
    with pytest.raises(ValueError, match=r"prompts must be null: the data have no labels, and prompts need captions"):
        Unconditioned().check_prompts(["a"])


def test_a_hidden_caption_is_still_there_for_the_network_that_knows_its_null(captions: Captions) -> None:
    pair = captions.of(np.array([1])).with_dropped()
    assert pair.hidden.tolist() == [False, True]
    assert torch.equal(pair.tokens[0], pair.tokens[1])
    assert captions.null.mask.sum() == 2


def test_other_conditions_are_refused_in_words(captions: Captions, encoder: SentenceEncoder, tmp_path: Path) -> None:
    assert captions.words == "80 captions (2 an image, sentence encoder)"
    captions.check_reference(captions)
    with pytest.raises(ValueError, match="has no labels and the training images captions"):
        captions.check_reference(Unconditioned())
    with pytest.raises(ValueError, match="captions of another text encoder"):
        captions.check_reference(Captions([("a",)], SentenceEncoder(path=encoder.path, max_tokens=9), tmp_path))
