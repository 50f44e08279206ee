"""What a network sees of captions, and of the empty one where they are hidden."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.captioned import captions_of_digits, save_bert

from curriculum_search.conditions import Captions, ClassCondition, Unconditional
from curriculum_search.models.captions import SeenCaptions
from curriculum_search.text import SentenceEncoder

X = torch.zeros(3, 1, 8, 8)


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory) -> Captions:
    folder = tmp_path_factory.mktemp("seen")
    return captions_of_digits(SentenceEncoder(path=save_bert(folder / "bert")), folder)


def test_hidden_captions_and_none_are_the_empty_caption(captions: Captions) -> None:
    seen, null = SeenCaptions(captions), captions.null
    condition = captions.of(np.arange(3)).hide(torch.tensor([False, True, False]))
    tokens, mask = seen.tokens_of(condition, X)
    assert torch.equal(tokens[0], condition.tokens[0].float())
    assert torch.equal(tokens[1, :2], null.tokens[0].float())
    assert not tokens[1, 2:].any()
    there = torch.arange(mask.shape[1]) < 2  # the empty caption's beginning and end
    assert torch.equal(mask, torch.stack([condition.mask[0], there, condition.mask[2]]))
    assert torch.equal(
        seen.pooled_of(condition, X), torch.stack([condition.pooled[0], null.pooled[0], condition.pooled[2]])
    )
    none, there = seen.tokens_of(Unconditional(), X)
    assert torch.equal(none, null.tokens[0, null.mask[0]].float().expand(3, -1, -1))
    assert bool(there.all())
    assert torch.equal(seen.pooled_of(Unconditional(), X), null.pooled.expand(3, -1))


def test_captions_that_are_shorter_than_the_empty_one_are_filled_up(captions: Captions) -> None:
    condition = captions.of(np.arange(3))
    short = type(condition)(
        tokens=condition.tokens[:, :1],
        mask=condition.mask[:, :1],
        pooled=condition.pooled,
        rows=condition.rows,
        hidden=torch.tensor([True, False, False]),
    )
    tokens, mask = SeenCaptions(captions).tokens_of(short, X)
    assert tokens.shape == (3, 2, 8)
    assert mask.tolist() == [[True, True], [True, False], [True, False]]


def test_it_is_part_of_the_state_and_may_be_built_without_weights(captions: Captions, tmp_path: Path) -> None:
    with torch.device("meta"):
        assert set(SeenCaptions(captions).state_dict()) == {"tokens", "pooled"}
    with pytest.raises(TypeError, match="a ClassCondition was given to a network of captions"):
        SeenCaptions(captions).pooled_of(ClassCondition.of(torch.zeros(3, dtype=torch.int64)), X)
